"""The user's files: sample sheet, array readers, BIDS tables, a scan of all samples."""
