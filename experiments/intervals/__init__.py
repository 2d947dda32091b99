"""How far may what a run simulates be off, and which of several is the fastest? By plans that were executed before."""
