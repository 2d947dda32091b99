"""How do many runs become one table? A grid of runs, workers, launchers, and a table none can break."""
