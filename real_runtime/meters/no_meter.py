"""Which host has no meter? One that says so: its joules are computed from times and watts, and are not measured."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NoMeter:
    """Nothing is read."""
