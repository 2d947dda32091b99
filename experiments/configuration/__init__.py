"""What does a configuration say, and where do results go? Everything between a command line and the nouns."""
