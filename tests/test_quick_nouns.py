"""Nouns of plain values are called without Hydra: they are what Hydra makes, and what it refuses stays refused."""

from typing import Any

import pytest
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf

from experiments.configuration.command_line import composed
from experiments.configuration.constructors import build
from experiments.sweeps.grid import Composer, parse


@pytest.fixture(scope="module")
def plain() -> dict[str, Any]:
    made = OmegaConf.to_container(composed("cluster=nanos", "scenario=wifi_walk"), resolve=True)
    assert isinstance(made, dict)
    return {str(key): value for key, value in made.items()}


@pytest.mark.parametrize("noun", ["model", "workload", "cluster", "scenario"])
def test_a_noun_is_the_one_that_hydra_makes(plain: dict[str, Any], noun: str) -> None:
    assert build(plain[noun]) == instantiate(plain[noun], _convert_="all")


def test_what_more_is_handed_to_is_partial_as_hydra_makes_it(plain: dict[str, Any]) -> None:
    ours, hydras = build(plain["strategy"]), instantiate(plain["strategy"], _convert_="all")
    assert (ours.func, ours.args, ours.keywords) == (hydras.func, hydras.args, hydras.keywords)


@pytest.mark.parametrize("target", ["os.system", "edgesim.whole_files.shutil.os.system"])
def test_a_target_that_hydra_refuses_is_refused_by_whatever_name(target: str) -> None:
    with pytest.raises(InstantiationException):
        build({"_target_": target, "command": "true"})


def test_a_mistake_is_told_with_its_place() -> None:
    with pytest.raises(InstantiationException, match="full_key: network"):
        build({"cluster": 1, "network": {"_target_": "edgesim.Device", "name": "a"}})


def test_a_wrong_value_after_right_ones_is_refused() -> None:
    composer = Composer(parse(["workload.batch_samples=8,16"]))
    composer(("workload.batch_samples=8",))
    with pytest.raises(ValueError, match=r"workload\.batch_samples"):
        composer(("workload.batch_samples=half",))
