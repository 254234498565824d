"""Keys of earlier versions, and what they are called now; docs/renamed.md shows them to people.

Behind the new name stands what else changed: the unit, or the place in an entry of a list.
"""

RENAMED = {
    "align.bands": "align.features: [{kind: band_envelope, bands: …}]",
    "align.filter_order": "align.features: [{kind: …, filter_order: …}]",
    "align.frame_length_s": "align.features: [{kind: band_envelope, frame_length_s: …}]",
    "align.log_envelope": "align.features: [{kind: band_envelope, log: …}]",
    "align.raw_high_hz": "align.features: [{kind: signal, high_hz: …}]",
    "align.raw_low_hz": "align.features: [{kind: signal, low_hz: …}]",
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
#: Keys that no other took the place of, and why.
REMOVED = {
    "contamination.seed": "nothing in the check is drawn at random any more",
    "contamination.surrogates": "nothing in the check is drawn at random any more",
}
#: Values of keys that kept their name.
RENAMED_VALUES = {
    ("align.features", "envelope"): "align.features: [{kind: band_envelope}]",
    ("align.features", "none"): "align.features: [{kind: given}]",
    ("align.features", "raw"): "align.features: [{kind: signal}]",
}
