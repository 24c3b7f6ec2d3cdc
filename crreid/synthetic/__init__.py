"""The built-in data set: pedestrians drawn from numbers alone, so that every notebook runs without a download."""
