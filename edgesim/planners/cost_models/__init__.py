"""What would a plan cost? Seconds, joules and bytes in closed form, without a simulator."""
