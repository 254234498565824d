"""Where results come from: code fingerprints, digests, folders of training runs."""
