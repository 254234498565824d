"""``python -m pipeline doctor``: whether a run can start, and its cost.  Writes nothing."""
