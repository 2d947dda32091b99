"""What is left of a training where losses are many? Shares of undisturbed throughput, by policy and by rate of loss."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from experiments.analysis.repeats import mean_of
from experiments.analysis.tidy import Value

GOODPUT_NEEDS = ("cluster", "model", "policy", "mean_between_iterations", "seed", "status", "share_of_undisturbed")

Rows = Iterable[Mapping[str, Value]]


def goodput(rows: Rows) -> dict[str, dict[str, dict[str, dict[str, float | int | None]]]]:
    """[case][mean time between losses][policy] the share of what is trained when nothing happens, with its interval.

    The mean is over the seeds with which all policies went on to the end: over those that one alone survived it would
    be of easier histories. So many jobs of the policy ended early are counted beside.
    """
    shares: dict[tuple[str, float], dict[str, dict[Value, float | None]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        place = f"{row['model']} on {row['cluster']}", _number(row, "mean_between_iterations")
        done = row["status"] == "done"
        shares[place][str(row["policy"])][row["seed"]] = _number(row, "share_of_undisturbed") if done else None
    found: dict[str, dict[str, dict[str, dict[str, float | int | None]]]] = defaultdict(dict)
    for (case, between), by_policy in sorted(shares.items()):
        ended = {seed for each in by_policy.values() for seed, share in each.items() if share is None}
        found[case][f"{between:g}"] = {policy: _mean(each, ended) for policy, each in by_policy.items()}
    return found


def _mean(shares: Mapping[Value, float | None], ended: Collection[Value]) -> dict[str, float | int | None]:
    common = [share for seed, share in shares.items() if share is not None and seed not in ended]
    mean = mean_of(common) if common else None
    return {
        "seeds": len(common),
        "ended_early": sum(share is None for share in shares.values()),
        "mean": mean.value if mean else None,
        "half_width": mean.half_width if mean else None,
    }


def _number(row: Mapping[str, Value], name: str) -> float:
    value = row[name]
    if not isinstance(value, float | int):
        raise ValueError(f"{name} of {row['policy']} is {value!r}, which is no number (play the study anew)")
    return float(value)
