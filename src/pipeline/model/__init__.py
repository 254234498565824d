"""The sequence-to-sequence network and its baselines."""
