"""What reads a run's power, what came of it, and what could be read here? Meters by host, tables, fits of watts."""
