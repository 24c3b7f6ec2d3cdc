"""The training loop, its schedule and its checkpoints; knows methods only by what `crreid.methods.method` says."""
