"""Which heads, columns and tokens should each rank have, provably?"""
