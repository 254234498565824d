"""Keys of earlier versions, and what they are called now; docs/renamed.md shows them to people."""

RENAMED = {
    "baseline": "ridge",
    "chance.rotations": "chance.shifts",
    "model.linear_skip": "model.ridge_skip",
    "predict.importance_rotations": "predict.importance_shifts",
}
