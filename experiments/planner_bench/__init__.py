"""Which planner finds the best plan, how good is it, and what does finding it cost? All planners on many problems."""
