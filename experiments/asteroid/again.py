"""What does an iteration of one cell of the study consist of? Its run is planned and simulated anew."""

from dataclasses import asdict
from functools import cache

from experiments.asteroid.ratios import Cell
from experiments.asteroid.terms import Terms, terms_of
from experiments.configuration.command_line import composed
from experiments.configuration.setup import prepare, read_setup

STUDY = "asteroid_throughput"
_MODELS = "model+workload+data+workload.tokens"


def terms_in(cell: Cell, method: str) -> Terms:
    """The terms of a method's iteration in a cell."""
    cluster, model, rate = cell
    where = (f"cluster={cluster.replace('-', '_')}", f"network.rate={rate:.12g} bit/s", *_overrides()[model])
    prepared = prepare(composed(f"experiment={STUDY}", *where, f"method={method}"))
    trace = prepared.setup.simulate(prepared.schedule)
    terms = terms_of(trace, len(prepared.setup.cluster.devices))
    # A schedule with a parameter server spans several iterations, of which the study counts a steady one.
    share = prepared.setup.measure(trace).makespan_s / trace.makespan_s
    return Terms(**{name: share * seconds for name, seconds in asdict(terms).items()})


@cache
def _overrides() -> dict[str, tuple[str, ...]]:
    """[a model's own name] what the study says of it."""
    names, found = _MODELS.split("+"), {}
    for values in composed(f"experiment={STUDY}").study.over[_MODELS]:
        words = tuple(f"{name}={value}" for name, value in zip(names, values, strict=True))
        found[read_setup(composed(f"experiment={STUDY}", *words)).model.name] = words
    return found
