"""Which heads, columns and tokens should each rank have, provably? Integer programmes over divisions of blocks."""
