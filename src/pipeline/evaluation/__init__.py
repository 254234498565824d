"""Metrics, chance level, leak audit, contamination."""
