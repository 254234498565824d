"""The training job: Lightning module, batches, checkpoints."""
