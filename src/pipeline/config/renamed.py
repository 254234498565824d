"""Keys of earlier versions, and what they are called now; docs/renamed.md shows them to people.

Behind the new name, in brackets, stands what else changed: the unit.
"""

RENAMED = {
    "baseline": "ridge",
    "chance.rotations": "chance.shifts",
    "model.linear_skip": "model.ridge_skip",
    "predict.importance_rotations": "predict.importance_shifts",
    "ridge.lags_after": "ridge.lags_after_s (seconds)",
    "ridge.lags_before": "ridge.lags_before_s (seconds)",
    "window.context_frames": "window.context_s (seconds)",
    "window.hop_frames": "window.hop_s (seconds)",
    "window.length_frames": "window.length_s (seconds)",
}
