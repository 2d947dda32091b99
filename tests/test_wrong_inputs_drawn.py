"""Does any wrong word, value or file end in a traceback? Overrides, YAML and JSON drawn at random, many thousands."""

import copy
import io
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import chdir, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from drawn_inputs import VALUES, json_texts, overrides, paths, torn, yaml_texts
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from edgesim import read_recording
from edgesim.model.layer_table import from_table, model_to_dict
from edgesim.plan import Plan
from edgesim.profile import Profile
from edgesim.schedule import Schedule
from edgesim.trace import Trace
from edgesim.zoo.hugging_face import read_config
from experiments.configuration.cache import Cache
from experiments.configuration.checks import check_values
from experiments.configuration.command_line import USERS, check_complete, composed, run_command, sentence
from experiments.configuration.network_file import load_network
from experiments.configuration.places import CONF
from experiments.configuration.setup import prepare

MOST_LINES = 3
DRAWN = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
# Planners that search for long, and commands that are not simulated.
SLOW_PLANNERS = ("ilp_", "exhaustive", "simulate_and_choose")
OWN_CODE = "experiments.configuration.command_line.users_mistake"  # which would take this file for a user's
MODEL = "model=bert_tiny_bytes"


# --- what is asked ---


def told(error: BaseException) -> None:
    """A mistake that a command would tell: one sentence of few lines."""
    said = sentence(error)
    assert said
    assert said.count("\n") < MOST_LINES, said


def accepted_or_told(read: Callable[[], object]) -> None:
    """Whatever is read is accepted or refused in a sentence; any other error is a traceback to the user."""
    try:
        read()
    except USERS as error:
        told(error)


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


def a_value(data: st.DataObject) -> None:
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
    run_words(folder, word)
    assert "hydra" in word or list(folder.iterdir()) == [], word  # Hydra's own folders are its affair


def run_words(folder: Path, *words: str) -> int:
    """The exit code of a command with these words; if it is not 0, there is a message."""
    said, code = io.StringIO(), 0
    kept_words, sys.argv = sys.argv, ["run", f"results={folder}/results", MODEL, *words]
    try:
        with redirect_stderr(said), redirect_stdout(io.StringIO()), chdir(folder), patch(OWN_CODE, return_value=None):
            run_command(play, about=None)
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        sys.argv = kept_words
    lines = said.getvalue().count("\n")
    assert "Traceback" not in said.getvalue()
    assert (code, lines) == (0, 0) or (code == 2 and 1 <= lines <= MOST_LINES), said.getvalue()
    return code


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
    group = data.draw(st.sampled_from(sorted(GROUPS)))
    file = data.draw(st.sampled_from(small_files(group)))
    home = folder / group.partition("@")[0]
    home.mkdir(exist_ok=True)
    (home / "mine.yaml").write_text(data.draw(yaml_texts(file.read_text())), encoding="utf-8")
    words = (MODEL, *GROUPS[group], f"{group}=mine")
    accepted_or_told(lambda: play(composed(*words, folders=[str(folder)])))


# --- JSON and other files that are given ---


@cache
def given_files() -> dict[str, tuple[str, Callable[[Path], object]]]:
    """By kind of file: one that is right, and what reads it."""
    prepared = prepare(composed(MODEL))
    trace = prepared.setup.simulate(prepared.schedule)
    profile = json.loads(prepared.setup.profile.to_json())
    table = model_to_dict(prepared.setup.model)
    network = {"bytes_per_s": [[1.0, 2.0], [2.0, 1.0]], "latency_s": [[0.0, 0.1], [0.1, 0.0]], "goodput": 1.0}
    network |= {"topology": "switched", "origin": "assumed", "source": "x"}
    bert = {"model_type": "bert", "vocab_size": 99, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    bert |= {"intermediate_size": 16, "max_position_embeddings": 64, "type_vocab_size": 2, "hidden_act": "gelu"}
    llama = {"model_type": "llama", "vocab_size": 99, "hidden_size": 8, "num_hidden_layers": 2, "hidden_act": "silu"}
    llama |= {"num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 16, "rms_norm_eps": 1e-6}
    llama |= {"architectures": ["LlamaForCausalLM"], "tie_word_embeddings": False, "rope_scaling": None}
    t5 = {"model_type": "t5", "vocab_size": 99, "d_model": 8, "d_kv": 4, "d_ff": 16, "num_layers": 2, "num_heads": 2}
    return {
        "plan": (prepared.plan.to_json(), lambda path: Plan.from_json(path.read_text(), source=str(path))),
        "profile": (json.dumps(profile | {"points": profile["points"][:3]}), Profile.load),
        "network": (json.dumps(network), load_network),
        "layer table": (
            json.dumps(table | {"layers": table["layers"][:2]}),
            lambda path: from_table(table=str(path)),
        ),
        "BERT": (json.dumps(bert), read_config),
        "Llama": (json.dumps(llama), read_config),
        "T5": (json.dumps(t5), read_config),
        "schedule": (prepared.schedule.to_text(), lambda path: Schedule.from_text(path.read_text())),
        "trace": (trace.to_lines(), lambda path: Trace.from_lines(path.read_text(), prepared.schedule)),
        "rates": ("time_s,rate Mbit/s\n0,54\n0.5,24\n1,6\n", lambda path: read_recording(path=str(path))),
    }


def a_file(folder: Path, data: st.DataObject) -> None:
    text, read = given_files()[data.draw(st.sampled_from(sorted(given_files())))]
    path = folder / "given.json"
    is_json = text.startswith("{") and text.count("\n{") == 0
    path.write_text(data.draw(json_texts(text) if is_json else st.composite(torn)(text)), encoding="utf-8")
    accepted_or_told(lambda: read(path))


# --- a few each time, many where time is no matter ---


@given(data=st.data())
@settings(DRAWN, max_examples=25)
def test_no_value_ends_in_a_traceback(data: st.DataObject) -> None:
    a_value(data)


@given(data=st.data())
@settings(DRAWN, max_examples=12)
def test_no_override_ends_in_a_traceback(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    an_override(tmp_path_factory.mktemp("run"), data)


@given(data=st.data())
@settings(DRAWN, max_examples=12)
def test_no_yaml_ends_in_a_traceback(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    a_yaml_file(tmp_path_factory.mktemp("conf"), data)


@given(data=st.data())
@settings(DRAWN, max_examples=250)
def test_no_file_ends_in_a_traceback(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    a_file(tmp_path_factory.mktemp("given"), data)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@given(data=st.data())
@settings(DRAWN, max_examples=800)
def test_no_value_of_many_ends_in_a_traceback(data: st.DataObject) -> None:
    a_value(data)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@given(data=st.data())
@settings(DRAWN, max_examples=300)
def test_no_override_of_many_ends_in_a_traceback(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    an_override(tmp_path_factory.mktemp("run"), data)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@given(data=st.data())
@settings(DRAWN, max_examples=300)
def test_no_yaml_of_many_ends_in_a_traceback(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    a_yaml_file(tmp_path_factory.mktemp("conf"), data)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@given(data=st.data())
@settings(DRAWN, max_examples=3700)
def test_no_file_of_many_ends_in_a_traceback(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    a_file(tmp_path_factory.mktemp("given"), data)
