"""Windows, splits, a subject's arrays, batches."""
