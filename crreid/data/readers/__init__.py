"""Readers of data sets: each is one function that returns one image table and decodes no image."""
