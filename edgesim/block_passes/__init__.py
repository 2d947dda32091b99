"""Which computations and exchanges make a pass over divided blocks? One walk, for who writes tasks and who counts."""
