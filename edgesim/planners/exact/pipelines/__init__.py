"""Which hybrid pipeline is the fastest, provably? Candidate stages, bounds, branch and bound."""
