"""Figures of the study: one style, charts on tidy frames, and one grid for pictures."""
