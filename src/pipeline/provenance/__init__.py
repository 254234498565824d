"""What stages need to know of where results come from: code fingerprints, digests, run folders."""
