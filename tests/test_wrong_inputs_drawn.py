"""Does any wrong word, value or file end in a traceback? Overrides, YAML, JSON and tables drawn, many thousands.

A few of each are tried at every run of the tests; the soak tries the rest, in shards that workers share.
"""

import copy
import io
from collections.abc import Mapping
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from drawn_files import MODEL, kinds_of_files
from drawn_inputs import VALUES, overrides, paths, yaml_texts
from hypothesis import strategies as st
from many_tries import Attempt, accepted_or_told, ended, tried
from omegaconf import DictConfig, OmegaConf

from experiments.configuration.cache import Cache
from experiments.configuration.checks import check_values
from experiments.configuration.command_line import check_complete, composed, run_command
from experiments.configuration.places import CONF
from experiments.configuration.planners import declared_planners
from experiments.configuration.setup import prepare
from experiments.configuration.studies import studies

# Planners that search for long, and commands that are not simulated.
SLOW_PLANNERS = ("ilp_", "exhaustive", "simulate_and_choose")


def play(cfg: DictConfig, kept: Cache | None = None) -> None:
    """All that a run does with a configuration, but to write."""
    check_complete(cfg)
    check_values(cfg)
    if cfg.execute:
        cfg.execute = False
    prepared = prepare(cfg, kept)
    prepared.setup.measure(prepared.setup.simulate(prepared.schedule))


@cache
def default() -> dict[str, Any]:
    plain = OmegaConf.to_container(composed(MODEL), resolve=False)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


@cache
def places() -> list[str]:
    return list(paths(default()))


def a_value(folder: Path, data: st.DataObject) -> None:
    """Any value at any place of the configuration."""
    place, value = data.draw(st.sampled_from(places())), data.draw(VALUES)

    def read() -> None:
        cfg = OmegaConf.create(copy.deepcopy(default()))
        OmegaConf.update(cfg, place, value, merge=False, force_add=True)
        play(cfg)

    accepted_or_told(read)


def an_override(folder: Path, data: st.DataObject) -> None:
    """A word on the command line: what the command ends with, and what it leaves behind."""
    word = data.draw(overrides([*places(), *GROUPS]))
    command = lambda: run_command(play, about=None)  # noqa: E731
    assert ended(folder, command, f"results={folder}/results", MODEL, word) in (0, 2)
    assert "hydra" in word or list(folder.iterdir()) == [], word  # Hydra's own folders are its affair


# --- YAML: what chooses a file of each group, and what goes with it ---

GROUPS: Mapping[str, tuple[str, ...]] = {
    "cluster": (),
    "data": (),
    "device@devices.fast": (),
    "experiment": (),
    "finetuning": ("workload.purpose=fine_tune",),
    "grid": (),
    "launcher": (),
    "method": ("workload=request",),
    "model": (),
    "planner": ("strategy=hybrid_pipeline",),
    "profile": (),
    "scenario": (),
    "strategy": (),
    "testbed": (),
    "workload": (),
}


def small_files(group: str) -> list[Path]:
    files = sorted((CONF / group.partition("@")[0]).glob("*.yaml"))
    return [file for file in files if not file.stem.startswith(SLOW_PLANNERS)]


def a_yaml_file(folder: Path, data: st.DataObject) -> None:
    """A configuration file of the user's, as a run reads it, and as lists of planners and studies do."""
    group = data.draw(st.sampled_from(sorted(GROUPS)))
    file = data.draw(st.sampled_from(small_files(group)))
    home = folder / group.partition("@")[0]
    home.mkdir(exist_ok=True)
    (home / "mine.yaml").write_text(data.draw(yaml_texts(file.read_text())), encoding="utf-8")
    words = (MODEL, *GROUPS[group], f"{group}=mine")
    accepted_or_told(lambda: play(composed(*words, folders=[str(folder)])))
    if group == "planner":
        accepted_or_told(lambda: declared_planners([folder]), naming="mine.yaml")
    if group == "experiment":
        accepted_or_told(lambda: list(studies([folder])), naming="mine.yaml")


def a_file(kind: str) -> Attempt:
    """A file of a kind that is wrong somewhere, in its values or in its bytes; its reader names it."""

    def attempt(folder: Path, data: st.DataObject) -> None:
        it = kinds_of_files()[kind]
        path = folder / it.name
        written = data.draw(it.wrong(it.text)).encode("utf-8")
        if data.draw(st.integers(0, 15)) == 0:
            at = data.draw(st.integers(0, len(written)))
            written = written[:at] + b"\xff\xfe" + written[at:]
        path.write_bytes(written)
        with redirect_stdout(io.StringIO()):
            accepted_or_told(lambda: it.read(path), naming=str(path))

    return attempt


# --- a few each time, thousands where time is no matter ---

ATTEMPTS: Mapping[str, Attempt] = {"value": a_value, "override": an_override, "YAML": a_yaml_file}
SHARDS = {"value": 8, "override": 16, "YAML": 16}  # of so many tries:
TRIES_OF_A_SHARD, TRIES_OF_A_KIND_OF_FILE = {"value": 200, "override": 50, "YAML": 50}, 120


@pytest.mark.parametrize("kind", ATTEMPTS)
def test_no_word_and_no_value_ends_in_a_traceback(tmp_path_factory: pytest.TempPathFactory, kind: str) -> None:
    tried(ATTEMPTS[kind], tmp_path_factory, tries=15)


@pytest.mark.parametrize("kind", kinds_of_files())
def test_no_file_ends_in_a_traceback(tmp_path_factory: pytest.TempPathFactory, kind: str) -> None:
    tried(a_file(kind), tmp_path_factory, tries=10)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("kind", "shard"), [(kind, shard) for kind in ATTEMPTS for shard in range(1, SHARDS[kind] + 1)]
)
def test_no_word_and_no_value_of_many_ends_in_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, kind: str, shard: int
) -> None:
    tried(ATTEMPTS[kind], tmp_path_factory, tries=TRIES_OF_A_SHARD[kind], shard=shard)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", kinds_of_files())
def test_no_file_of_many_ends_in_a_traceback(tmp_path_factory: pytest.TempPathFactory, kind: str) -> None:
    tried(a_file(kind), tmp_path_factory, tries=TRIES_OF_A_KIND_OF_FILE, shard=1)


def test_the_soak_makes_more_than_five_thousand_tries() -> None:
    words = sum(SHARDS[kind] * TRIES_OF_A_SHARD[kind] for kind in ATTEMPTS)
    assert words + TRIES_OF_A_KIND_OF_FILE * len(kinds_of_files()) >= 5_000
