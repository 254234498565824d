"""Recordings of other formats as raw ``.npy`` arrays and a sample sheet: ``python -m pipeline import``."""
