"""Speed and cost: the benchmark against the plain recipe, what networks and methods cost, and recorded timings."""
