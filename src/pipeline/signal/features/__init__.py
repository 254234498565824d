"""Neural features: one module per kind, side by side in :mod:`pipeline.signal.features.stack`."""
