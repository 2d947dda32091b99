"""When does each rank of a stage that divides blocks run what? Tensor, sequence and hybrid parallelism share this."""
