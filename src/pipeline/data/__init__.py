"""Sample sheet, raw arrays, windows and splits, batches."""
