"""Which seconds of a window did a meter see, and how many joules passed in them? Trapezoids between readings.

A step is the time between two readings that follow each other. It is seen where both are there and no reading is
missing between: they are at most :data:`MOST_PERIODS` periods apart. What no step sees is not filled. A reading that is
a mean stands in the middle of its time.

Sums are exact before they are rounded once (``math.fsum``), and everything else is one operation per number: the same
readings give the same joules on every machine, to the bit.
"""

from dataclasses import dataclass
from math import fsum

import numpy as np

from edgesim.metered.power_log import PowerLog, Quantity
from edgesim.trace import Floats

MOST_PERIODS = 2.5
"""Readings further apart than so many periods have a gap between them: a sampling thread may be late by one."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Steps:
    """[step] The times between readings, and the watts at both ends, between which power changes evenly."""

    start_s: Floats
    end_s: Floats
    first_w: Floats
    last_w: Floats

    @property
    def seconds(self) -> float:
        """Their time together."""
        return fsum((self.end_s - self.start_s).tolist())

    @property
    def joules(self) -> Floats:
        """[step] The energy of each: a trapezoid."""
        return (self.first_w + self.last_w) * 0.5 * (self.end_s - self.start_s)

    def within(self, start_s: float, end_s: float) -> "Steps":
        """Return what of the steps lies in a window; at its ends power is interpolated."""
        begins, ends = np.maximum(self.start_s, start_s), np.minimum(self.end_s, end_s)
        inside = ends > begins
        whole_s, rises_w = self.end_s[inside] - self.start_s[inside], self.last_w[inside] - self.first_w[inside]
        begins, ends, first_w = begins[inside], ends[inside], self.first_w[inside]
        cut_first, cut_last = begins > self.start_s[inside], ends < self.end_s[inside]
        at_begin_w = first_w + rises_w * ((begins - self.start_s[inside]) / whole_s)
        at_end_w = first_w + rises_w * ((ends - self.start_s[inside]) / whole_s)
        return Steps(
            start_s=begins,
            end_s=ends,
            first_w=np.where(cut_first, at_begin_w, first_w),
            last_w=np.where(cut_last, at_end_w, self.last_w[inside]),
        )


def steps_of(log: PowerLog) -> Steps:
    """Return the steps of a log that are seen."""
    lasts_s = np.diff(log.at_s)
    there = ~np.isnan(log.value)
    seen = there[:-1] & there[1:] & (lasts_s <= MOST_PERIODS * log.facts.period_s)
    first, last = log.value[:-1][seen], log.value[1:][seen]
    if log.facts.quantity is Quantity.ENERGY:
        first = last = (last - first) / lasts_s[seen]
    at_s = log.at_s - log.facts.averages_s * 0.5
    return Steps(start_s=at_s[:-1][seen], end_s=at_s[1:][seen], first_w=first, last_w=last)
