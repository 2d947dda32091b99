"""Which plan is the best, provably? A folder per problem, and the same file names in each."""
