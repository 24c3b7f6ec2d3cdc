"""The benchmark: the authors' recipe as anyone would write it against the one of this package, on the same machine."""
