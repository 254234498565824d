"""Training: the job, the Lightning module, checkpoints, worker processes."""
