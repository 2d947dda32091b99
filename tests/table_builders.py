"""Rows of a tidy table, for tests of what reads one."""


def seeded(*seconds: float, **changes: object) -> list[dict[str, object]]:
    """Repeats of a run that differ in their seeds alone, by their seconds per iteration."""
    return [
        made(**{"seed": seed, "makespan_s": each, "latency_s": each, "samples_per_s": 32 / each} | changes)
        for seed, each in enumerate(seconds)
    ]


def made(**changes: object) -> dict[str, object]:
    """A row of a tidy table."""
    return {
        "study": "s",
        "cluster": "demo",
        "model": "bert_small",
        "strategy": "data",
        "planner": "even",
        "method": "data",
        "devices": 3,
        "bandwidth_bit_per_s": 1e8,
        "batch_samples": 32,
        "player": "simulated",
        "iterations": 1,
        "makespan_s": 2.0,
        "samples_per_s": 16.0,
        "latency_s": 2.0,
        "energy_j": 30.0,
        "peak_bytes": 2.5e9,
        "makespan_low_s": None,
        "makespan_high_s": None,
        "profile_hash": "1e10",
        "profile_origin": "measured",
        "status": "done",
        "reason": "",
    } | changes
