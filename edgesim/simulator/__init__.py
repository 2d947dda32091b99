"""How long does a schedule take, in virtual time? The only package that imports SimPy."""

from edgesim.simulator.engine import simulate

__all__ = ["simulate"]
