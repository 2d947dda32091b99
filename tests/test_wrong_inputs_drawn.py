"""Does any wrong word, number or file end in a traceback? Overrides, YAML and JSON drawn by Hypothesis."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from edgesim.plan import Plan
from edgesim.profile import Profile
from edgesim.schedule import Schedule
from experiments.configuration.checks import check_values
from experiments.configuration.command_line import CONF, USERS, composed, sentence
from experiments.configuration.network_file import network_from_json
from experiments.configuration.setup import prepare, read_setup

FEW = settings(deadline=None, suppress_health_check=list(HealthCheck))
QUICK, MANY = settings(FEW, max_examples=60), settings(FEW, max_examples=2000)

WORDS = st.sampled_from(
    [
        *(
            "fast",
            "5 J",
            "20 MB",
            "20 Mbit/s",
            "-1 s",
            "nan",
            "inf s",
            "1e400 s",
            "true",
            "[]",
            "{}",
            "data",
            "[[0],[1,2]]",
        ),
        *("adam", "infer", "gpipe", "2 GiB", "7 W", "a.b", "é"),
    ]
)
SCALARS = st.none() | st.booleans() | st.integers(-3, 40) | st.floats() | WORDS | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc_", min_size=1), inner, max_size=3),
    max_leaves=6,
)
NOT_TRIED = ("hydra", "launcher", "results")


@cache
def default() -> dict[str, Any]:
    plain = OmegaConf.to_container(composed("model=bert_tiny_bytes"), resolve=False)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items() if key not in NOT_TRIED}


@cache
def paths() -> list[str]:
    def below(node: Any, path: str) -> list[str]:
        inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        return [path, *(each for key, item in inner for each in below(item, f"{path}.{key}"))]

    return [each for key, node in default().items() for each in below(node, key)]


def told(error: BaseException) -> None:
    said = sentence(error)
    assert said
    assert said.count("\n") < 3, said


def refused_or_prepared(path: str, value: Any) -> None:
    """Whatever stands at a path of the configuration: it is planned, or refused in a sentence."""
    cfg = OmegaConf.create(json.loads(json.dumps(default())))
    assert isinstance(cfg, DictConfig)
    cfg.results = "results"
    try:
        OmegaConf.update(cfg, path, value, merge=False, force_add=True)
        check_values(cfg)
        prepare(cfg)
    except USERS as error:
        told(error)


def an_override(data: st.DataObject) -> None:
    path, value = data.draw(st.sampled_from(paths())), data.draw(SCALARS)
    cut = data.draw(st.integers(0, 2))
    word = f"{'+' * data.draw(st.integers(0, 1))}{path[: len(path) - cut]}={value}"
    try:
        read_setup(composed("model=bert_tiny_bytes", word))
    except USERS as error:
        told(error)


def a_value(data: st.DataObject) -> None:
    refused_or_prepared(data.draw(st.sampled_from(paths())), data.draw(VALUES))


@cache
def files() -> dict[str, tuple[str, Any]]:
    prepared = prepare(composed("model=bert_tiny_bytes"))
    network = {"bytes_per_s": [[1.0], [1.0]], "latency_s": [[0.0]], "goodput": 1.0, "topology": "switched"}
    small = prepared.setup.profile.to_json().split(",\n")[:2]
    return {
        "plan": (prepared.plan.to_json(), Plan.from_json),
        "profile": (",\n".join(small) + "]}", Profile.from_json),
        "network": (json.dumps(network | {"origin": "assumed", "source": "x"}), network_from_json),
        "schedule": (prepared.schedule.to_text(), Schedule.from_text),
    }


def a_file(data: st.DataObject) -> None:
    """A text of another kind, one that was cut or changed at a place, and one with another value at a key."""
    text, read = files()[data.draw(st.sampled_from(sorted(files())))]
    at = data.draw(st.integers(0, len(text)))
    new = data.draw(st.sampled_from(["", "{", "}", "[", '"', ",", "0", "null", "\x00", "é", " "]))
    torn = text[:at] + new + text[at + data.draw(st.sampled_from([0, 1, 5, len(text)])) :]
    given_text = data.draw(st.sampled_from([torn, json.dumps(data.draw(VALUES)), _changed(text, data)]))
    try:
        read(given_text)
    except USERS as error:
        told(error)


def _changed(text: str, data: st.DataObject) -> str:
    try:
        plain = json.loads(text)
    except ValueError:
        return text
    node = plain
    while isinstance(node, dict | list) and node:
        keys = list(node) if isinstance(node, dict) else range(len(node))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(node[key], dict | list) or data.draw(st.booleans()):
            node[key] = data.draw(VALUES)
            break
        node = node[key]
    return json.dumps(plain)


def a_yaml_file(folder: Path, data: st.DataObject) -> None:
    text = (CONF / "device" / "jetson_nano.yaml").read_text()
    at = data.draw(st.integers(0, len(text)))
    new = data.draw(st.sampled_from(["", ":", "- ", "[", "{", '"', "\t", "$", "&", "\n"]))
    (folder / "device").mkdir(exist_ok=True)
    (folder / "device" / "mine.yaml").write_text(text[:at] + new + text[at + data.draw(st.sampled_from([0, 1, 3])) :])
    try:
        read_setup(composed("device@devices.fast=mine", "model=bert_tiny_bytes", folders=[str(folder)]))
    except USERS as error:
        told(error)


@given(st.data())
@QUICK
def test_no_value_ends_in_a_traceback(data: st.DataObject) -> None:
    a_value(data)


@given(st.data())
@settings(FEW, max_examples=20)
def test_no_override_ends_in_a_traceback(data: st.DataObject) -> None:
    an_override(data)


@given(st.data())
@settings(FEW, max_examples=200)
def test_no_json_or_schedule_ends_in_a_traceback(data: st.DataObject) -> None:
    a_file(data)


@given(data=st.data())
@settings(FEW, max_examples=10)
def test_no_yaml_ends_in_a_traceback(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    a_yaml_file(tmp_path_factory.mktemp("conf"), data)


@pytest.mark.slow
@given(st.data())
@MANY
def test_no_value_of_many_ends_in_a_traceback(data: st.DataObject) -> None:
    a_value(data)


@pytest.mark.slow
@given(st.data())
@settings(FEW, max_examples=500)
def test_no_override_of_many_ends_in_a_traceback(data: st.DataObject) -> None:
    an_override(data)


@pytest.mark.slow
@given(st.data())
@settings(FEW, max_examples=2300)
def test_no_json_or_schedule_of_many_ends_in_a_traceback(data: st.DataObject) -> None:
    a_file(data)


@pytest.mark.slow
@given(data=st.data())
@settings(FEW, max_examples=300)
def test_no_yaml_of_many_ends_in_a_traceback(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    a_yaml_file(tmp_path_factory.mktemp("conf"), data)
