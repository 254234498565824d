"""``python -m pipeline doctor``: can a run start, and what will it cost?  Reads only, writes nothing."""
