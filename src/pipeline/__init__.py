"""Decode speech from intracranial recordings: raw arrays to mel spectrograms to scores."""
