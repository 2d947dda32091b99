"""How does the coordinator know which ranks are there? Each says so again and again, on a socket of its own."""
