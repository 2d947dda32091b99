"""How many joules did a meter read, and where did they go? Power logs, joules of runs, attribution, fits of watts."""

from edgesim.metered.attribution import EnergyByState, StateEnergy, attribute
from edgesim.metered.joules import LogEnergy, TraceOnClock, WindowEnergy, energy_of, energy_of_windows, window_energy
from edgesim.metered.log_lines import log_from_text, log_lines
from edgesim.metered.metered_run import MeteredRun, metered_run
from edgesim.metered.power_log import Covers, Evidence, MeterFacts, PowerLog, Quantity
from edgesim.metered.synthetic import SyntheticMeter, TrueWatts

__all__ = [
    "Covers",
    "EnergyByState",
    "Evidence",
    "LogEnergy",
    "MeterFacts",
    "MeteredRun",
    "PowerLog",
    "Quantity",
    "StateEnergy",
    "SyntheticMeter",
    "TraceOnClock",
    "TrueWatts",
    "WindowEnergy",
    "attribute",
    "energy_of",
    "energy_of_windows",
    "log_from_text",
    "log_lines",
    "metered_run",
    "window_energy",
]
