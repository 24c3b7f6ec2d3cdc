"""Figures: each kind is one file from plain data to a matplotlib figure; nothing is written or shown."""
