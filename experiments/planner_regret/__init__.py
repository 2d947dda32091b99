"""Is the plan that the simulator chooses also the fastest when measured? Every candidate, executed on one testbed."""
