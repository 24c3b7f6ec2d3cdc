"""Cross-resolution person re-identification."""
