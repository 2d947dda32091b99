"""Is what nothing real can have refused? Every number of a configuration, below zero and at zero."""

import copy
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from omegaconf import OmegaConf

from edgesim.units import si
from experiments.configuration.checks import check_values
from experiments.configuration.command_line import USERS, composed, sentence
from experiments.configuration.setup import prepare

PLANNED = ("strategy=hybrid_pipeline", "planner=ilp_hybrid_pipeline")
# What each composition adds to the one before: nouns that the default leaves out.
COMPOSED = (
    (
        "strategy=hybrid_pipeline",
        "planner=ilp_hybrid_pipeline",
        "scenario=[throttled,jitter,wifi_walk]",
        "grid=world_2023",
    ),
    ("workload=request", "method=galaxy", "model=llama_2_7b"),
    ("finetuning=lora", "workload.purpose=fine_tune", "cluster=nanos"),
    ("model=resnet50_digits", "workload=images", "device@devices.fast=jetson_nano"),
)
# Numbers that may be negative, and those of which 0 says something: none of it, the first, at once, as it is.
ANY_SIGN = {"launcher.workers"}
ZERO_SAYS = {
    *("seed", "rehearsals", "head_room", "scenario.seed", "scenario.iteration", "workload.learning_rate"),
    *(
        "network.latency",
        "workload.new_tokens",
        "launcher.workers",
        "grid.g_per_kwh",
        "scenario.events.jitter.variation",
    ),
    *("testbed.repeat_disturbed", "autopilot.loops"),
    *("scenario.events.throttled.rank", "groups.0.0", "groups.1.0", "groups.1.1", "planner.latency_s"),
}
ZERO_SAYS_AT_ITS_END = ("context_bytes", "start_s")
ZERO_SAYS_WITHIN = ".power.rails."  # of a state's watts, this rail has none


@cache
def configuration(words: tuple[str, ...]) -> dict[str, Any]:
    plain = OmegaConf.to_container(composed("model=bert_tiny_bytes", *words), resolve=False)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def is_quantity(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(si(value))
    except ValueError:
        return False


def numbers(node: Any, path: str = "") -> Iterator[str]:
    """The places of a configuration where a number stands."""
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in inner:
        below = f"{path}.{key}" if path else str(key)
        if (isinstance(value, int | float) and not isinstance(value, bool)) or is_quantity(value):
            yield below
        yield from numbers(value, below)


def new_numbers(words: tuple[str, ...]) -> set[str]:
    """Those that no composition before this one has."""
    before = [each for each in COMPOSED[: COMPOSED.index(words)]]
    return set(numbers(configuration(words))).difference(*(numbers(configuration(each)) for each in before))


def refused(words: tuple[str, ...], place: str, value: float) -> str | None:
    """What is said of a number at a place; None if it is taken."""
    cfg = OmegaConf.create(copy.deepcopy(configuration(words)))
    OmegaConf.update(cfg, place, value, merge=False)
    try:
        check_values(cfg)
        prepare(cfg)
    except USERS as error:
        return sentence(error)
    return None


@pytest.mark.parametrize("words", COMPOSED, ids=lambda words: words[0])
def test_no_number_of_a_configuration_may_be_negative(words: tuple[str, ...]) -> None:
    for place in new_numbers(words) - ANY_SIGN:
        said = refused(words, place, -1)
        assert said is not None, f"{place}=-1 is taken"
        assert place.rpartition(".")[2] in said or "[" in said, said


@pytest.mark.parametrize("words", COMPOSED, ids=lambda words: words[0])
def test_zero_is_refused_where_nothing_real_has_it(words: tuple[str, ...]) -> None:
    for place in new_numbers(words) - ZERO_SAYS:
        if not place.endswith(ZERO_SAYS_AT_ITS_END) and ZERO_SAYS_WITHIN not in place:
            said = refused(words, place, 0)
            assert said is not None, f"{place}=0 is taken"
