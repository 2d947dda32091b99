"""How does a testbed come to plans that hold? By measuring again what a run showed to be off, and planning anew."""
