"""From files on disk to batches: image tables, the MLR protocol, pairs."""
