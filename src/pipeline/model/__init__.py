"""The sequence-to-sequence network, the ensemble, inference and the model file."""
