"""How long does a schedule take, in virtual time? The only package that imports SimPy."""

from edgesim.simulator.engine import simulate
from edgesim.simulator.jobs import simulate_job

__all__ = ["simulate", "simulate_job"]
