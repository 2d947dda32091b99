"""What do all plans say together? Errors, order, regret and intervals, of the test part and by model and strategy.

median_abs_error, p95_abs_error, worst_abs_error    |simulated / measured - 1| of plans
kendall_tau     between the simulated and the measured order of a setting's plans (tau-b), the mean over settings
without_tau     settings that have none: all their plans are simulated alike
told_apart      of each two plans of a setting whose measured iterations do not overlap, the share in that order
regret          of the plan that is simulated fastest in its setting, over the one measured fastest: median and worst
coverage        the share of plans whose measured median lies in its interval, which the conformal part calibrates
width_ratio     the width of a plan's interval over the run-to-run range of its iterations, in logarithms: the median
ks              Kolmogorov and Smirnov's distance between the predicted distribution of iterations and the measured
                one. Each plan has a predicted distribution: what was simulated, times what conformal plans of its kind
                took over it, times what iterations drawn from the repeats of its own calibration take over it (without
                repeats: what the iterations of conformal plans took). Were it true, each measured iteration would be at
                any share of it with the same probability: the distance is that of these shares from evenly spread ones,
                each plan counting the same

Plans that other load disturbed neither calibrate intervals nor are judged by them: left_out says how many. Their errors
count.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import permutations
from math import exp, isnan, log
from statistics import fmean, median
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from edgesim.intervals import LEVEL, Residual, Residuals
from edgesim.trace import Floats
from experiments.fidelity_study.asked import Part
from experiments.fidelity_study.judging import Judged

_P95 = 95  # per cent


def executed(judged: Iterable[Judged], part: Part | None = None) -> list[Judged]:
    """Those that were executed, of one part or of all."""
    return [each for each in judged if each.error is not None and part in (None, each.part)]


def residuals_of(judged: Iterable[Judged], testbed: str, source: str) -> Residuals:
    """What the conformal part says of other plans."""
    return Residuals(
        testbed=testbed,
        source=source,
        residuals=tuple(each.residual() for each in executed(judged, Part.CONFORMAL)),
    )


def figures_of_merit(judged: Sequence[Judged], residuals: Residuals) -> dict[str, Any]:
    """The study in numbers: those of the test part, and of each part by itself what needs no intervals."""
    test = executed(judged, Part.TEST)
    return {
        **_figures(test, residuals),
        "level": LEVEL,
        "by_kind": _by(test, lambda each: str(each.kind), residuals),
        "by_model": _by(test, lambda each: each.case, residuals),
        "by_strategy": _by(test, lambda each: each.played.strategy, residuals),
        "by_hosts": _by(test, lambda each: str(each.hosts), residuals),
        "by_rate_mbit": _by(test, lambda each: f"{each.rate_mbit_per_s:g}", residuals),
        "parts": {str(part): errors(executed(judged, part)) for part in Part},
        "failed": [
            f"{each.setting}, {each.played.name}: {each.played.reason}" for each in judged if each.played.reason
        ],
    }


def _by(test: Sequence[Judged], key: Callable[[Judged], str], residuals: Residuals) -> dict[str, Any]:
    groups: dict[str, list[Judged]] = defaultdict(list)
    for each in test:
        groups[key(each)].append(each)
    return {name: _figures(groups[name], residuals) for name in sorted(groups)}


def _figures(test: Sequence[Judged], residuals: Residuals) -> dict[str, Any]:
    return errors(test) | order(test) | intervals(test, residuals)


def errors(plans: Sequence[Judged]) -> dict[str, Any]:
    """How far single plans are off; None where there are none."""
    signed = [each.error for each in plans if each.error is not None]
    off = [abs(error) for error in signed]
    spreads = [each.spread for each in plans if each.spread is not None]
    return {
        "plans": len(off),
        "settings": len({each.setting for each in plans}),
        "iterations": sum(len(each.played.measured_s) for each in plans),
        "disturbed": sum(bool(each.played.disturbed) for each in plans),
        "median_error": median(signed) if signed else None,
        "median_abs_error": median(off) if off else None,
        "p95_abs_error": float(np.percentile(off, _P95)) if off else None,
        "worst_abs_error": max(off, default=None),
        "median_run_to_run_range": exp(median(spreads)) - 1 if spreads else None,
    }


def order(plans: Sequence[Judged]) -> dict[str, Any]:
    """Whether plans of a setting are simulated in their order, and what the choice costs."""
    settings: dict[str, list[tuple[float, Judged]]] = defaultdict(list)
    for each in plans:
        if each.simulated_s is not None and each.measured_s is not None:
            settings[each.setting].append((each.simulated_s, each))
    several = [[(s, median(each.played.measured_s)) for s, each in mine] for mine in settings.values() if len(mine) > 1]
    taus = [float(kendalltau(*zip(*pairs, strict=True)).statistic) for pairs in several]
    known = [tau for tau in taus if not isnan(tau)]  # none where all plans of a setting are simulated alike
    regrets = [min(pairs)[1] / min(measured_s for _, measured_s in pairs) - 1 for pairs in several]
    apart = [right for mine in settings.values() for right in _in_order(mine)]
    return {
        "kendall_tau": fmean(known) if known else None,
        "worst_tau": min(known, default=None),
        "without_tau": len(taus) - len(known),
        "told_apart": fmean(apart) if apart else None,
        "median_regret": median(regrets) if regrets else None,
        "mean_regret": fmean(regrets) if regrets else None,
        "worst_regret": max(regrets, default=None),
    }


def _in_order(setting: Sequence[tuple[float, Judged]]) -> Iterator[bool]:
    """For each two plans of which one's slowest iteration is faster than all of the other's: is it simulated faster?"""
    for (one_s, one), (other_s, other) in permutations(setting, 2):
        if max(one.played.measured_s) < min(other.played.measured_s):
            yield one_s < other_s


def intervals(test: Sequence[Judged], residuals: Residuals) -> dict[str, Any]:
    """Whether intervals hold, and how wide they are; None, and why, where too few plans calibrate them."""
    held, widths, reasons = list[bool](), list[float](), set[str]()
    judged = [each for each in test if not each.played.disturbed]
    for each in judged:
        if each.simulated_s is None or each.measured_s is None or each.spread is None:
            continue
        try:
            interval = residuals.interval(each.simulated_s, each.kind)
        except ValueError as error:
            reasons.add(str(error))
            continue
        held.append(each.measured_s in interval)
        if each.spread > 0:
            widths.append(log(interval.high_s / interval.low_s) / each.spread)
    return {
        "coverage": fmean(held) if held else None,
        "width_ratio": median(widths) if widths else None,
        "ks": distance(judged, residuals),
        "left_out": len(test) - len(judged),
        **({"no_interval": sorted(reasons)} if reasons else {}),
    }


def distance(plans: Sequence[Judged], residuals: Residuals) -> float | None:
    """Of predicted distributions from measured ones; None where nothing is predicted, or nothing was measured."""
    shares, weights = list[float](), list[float]()
    for each in plans:
        predicted = _predicted(each, residuals.of(each.kind))
        repeats = each.residual().repeats if each.simulated_s is not None else ()
        for repeat in repeats if len(predicted) else ():
            # The middle of where it lies among those that are alike.
            ends = [float(np.searchsorted(predicted, repeat, side=side)) for side in ("left", "right")]
            shares.append(fmean(ends) / len(predicted))
            weights.append(1 / len(repeats))
    if not shares:
        return None
    order = np.argsort(shares)
    placed = np.asarray(shares)[order]
    upto = np.cumsum(np.asarray(weights)[order]) / sum(weights)
    before = np.concatenate([[0.0], upto[:-1]])
    return float(max(np.max(upto - placed), np.max(placed - before)))


def _predicted(plan: Judged, known: Sequence[Residual]) -> Floats:
    """The logarithms of what its iterations may take over what was simulated, in order."""
    if not plan.drawn:
        return np.sort([repeat for each in known for repeat in each.repeats])
    middles = np.asarray([each.log_ratio for each in known])
    around = np.log(plan.drawn) - log(median(plan.drawn))
    return np.sort(np.add.outer(middles, around), axis=None)
