"""Figures of what the ranks of a single run do over time."""
