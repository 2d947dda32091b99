"""What does one call make? A plan, or a run that is simulated, and where asked executed as well."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from edgesim.cluster import Cluster
from edgesim.model import Model
from edgesim.plan import Plan
from edgesim.profile import Profile
from edgesim.scenario import Scenario
from edgesim.workload import Workload
from experiments.api.files import Files
from experiments.api.mistakes import in_sentences
from experiments.api.result import Result
from experiments.api.words import Choice, Words, groups, is_choice, pairs
from experiments.configuration.places import CONF
from experiments.configuration.setup import prepare
from experiments.configuration.suggestions import suggestion
from experiments.execution.play import play
from experiments.sweeps.grid import Overrides

Named = str | Path | Choice | Mapping[str, Any]  # by name, by path, with options, or the default's values changed
T = TypeVar("T")


@in_sentences
def simulate(
    *,
    model: Model | Named | None = None,
    cluster: Cluster | Named | None = None,
    rate: str | None = None,
    latency: str | float | None = None,
    workload: Workload | Named | None = None,
    finetuning: Named | None = None,
    method: str | Path | Choice | None = None,
    strategy: Callable[..., Any] | Named | None = None,
    planner: Callable[..., Any] | Named | None = None,
    profile: Profile | Named | None = None,
    scenario: Scenario | Named | None = None,
    **overrides: Any,
) -> Result:
    """Plan one run and play one iteration of it in virtual time.

    Whatever is left out is as in conf/config.yaml. A noun is given by its name in conf/, by the path of a file, as an
    object, or as a mapping of values that take the place of the default's (``workload={"tokens": 64}``); quantities are
    texts with units (``"20 Mbit/s"``) or numbers in SI.

    Args:
        model: What is trained or asked; also the path of a Hugging Face configuration or of a layer table.
        cluster: The devices and their network.
        rate: What every NIC of a named cluster sends per second, like ``"100 Mbit/s"``.
        latency: What a message between two of its devices needs beside its bytes, like ``"0.1 ms"``.
        workload: What is asked of the model: purpose, batch, tokens.
        finetuning: Which weights are trained: ``"full"``, ``"lora"``, ...
        method: A published system or a usual way: its planner and strategy under one name.
        strategy: When each rank runs what: ``"data"``, ``"pipeline"``, ``"tensor"``, ``"sequence"``, ...
        planner: Where layers live; also a function of your own from Problem to Plan.
        profile: Where the seconds of blocks come from.
        scenario: What happens to links and devices meanwhile.
        **overrides: Any other key of the configuration (``seed=1``, ``head_room=0.1``, ``depth="gpipe"``); a dot
            in a key is written as a mapping (``network={"goodput": 0.9}``).

    Returns:
        The run: its plan, schedule, trace and metrics.

    Raises:
        EdgesimError: If there is no plan, or it cannot be played; OutOfMemoryError if it does not fit.
        ValueError: If a name is unknown, or a value does not fit its key; the sentence is that of the command line.
    """
    return _run({**asked_for(locals()), **overrides})


@in_sentences
def execute(
    *,
    model: Model | Named | None = None,
    cluster: Cluster | Named | None = None,
    rate: str | None = None,
    latency: str | float | None = None,
    workload: Workload | Named | None = None,
    method: str | Path | Choice | None = None,
    strategy: Callable[..., Any] | Named | None = None,
    planner: Callable[..., Any] | Named | None = None,
    profile: Profile | Named | None = None,
    testbed: Named | None = None,
    iterations: int | None = None,
    **overrides: Any,
) -> Result:
    """Do what :func:`simulate` does, and play the same schedule with PyTorch on emulated devices.

    Args:
        model: What is trained or asked; one that the runtime can build.
        cluster: The devices that the testbed emulates, and their network.
        rate: What every NIC of a named cluster sends per second, like ``"100 Mbit/s"``.
        latency: What a message between two of its devices needs beside its bytes, like ``"0.1 ms"``.
        workload: What is asked of the model: purpose, batch, tokens.
        method: A published system or a usual way: its planner and strategy under one name.
        strategy: When each rank runs what.
        planner: Where layers live; also a function of your own from Problem to Plan.
        profile: Where the simulated seconds come from: of an estimate they are not those of this machine.
        testbed: Where ranks live: ``"netns"``, ``"loopback"``, or ``"auto"`` for the best there is.
        iterations: How many are measured, beside one before them that is not counted.
        **overrides: Any other key of the configuration, as for :func:`simulate`.

    Returns:
        The run, with a measured trace for each iteration beside the simulated one.

    Raises:
        RunError: If a rank fails; any other EdgesimError if there is no plan.
        ValueError: If a name is unknown, a value does not fit its key, or the runtime cannot execute this.
    """
    return _run({**asked_for(locals()), **overrides, "execute": True})


@in_sentences
def make_plan(**asked: Any) -> Plan:
    """Plan a run without playing it.

    Args:
        **asked: What :func:`simulate` takes.

    Returns:
        The plan, checked.

    Raises:
        EdgesimError: If there is no plan.
        ValueError: If a name is unknown, or a value does not fit its key.
    """
    return composed_for(asked, lambda config, words, files: prepare(config).plan)


@in_sentences
def choices(group: str) -> list[str]:
    """Names that can be given for a noun: ``choices("cluster")``.

    Args:
        group: What is chosen, like ``"model"``, ``"device"`` or ``"method"``.

    Returns:
        The names of its files in conf/, in order.

    Raises:
        ValueError: If nothing of that kind can be chosen.
    """
    if group not in groups():
        raise ValueError(f"nothing of the kind {group!r} can be chosen{suggestion(group, groups())}")
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def asked_for(given: Mapping[str, Any]) -> dict[str, Any]:
    """Of a function's keywords, those that were given."""
    return {name: value for name, value in given.items() if name != "overrides" and value is not None}


def _run(asked: Mapping[str, Any]) -> Result:
    return composed_for(asked, _played)


def _played(config: Mapping[str, Any], words: Overrides, files: Files) -> Result:
    played = play(config, prepare(config))
    return Result.of(replace(played, config={**config, "config_dirs": files.users}, words=words))


def composed_for(asked: Mapping[str, Any], use: Callable[[dict[str, Any], Overrides, Files], T]) -> T:
    """What ``use`` makes of the configuration that was asked for; files of what was given live as long."""
    with Files() as files:
        all_pairs = list(pairs(asked, files))
        words = Words([pair for pair in all_pairs if is_choice(pair[0])], files.folders)
        values = [words.word(*pair) for pair in all_pairs if not is_choice(pair[0])]
        overrides = (*words.chosen, *values)
        return use(words.composer(overrides), overrides, files)
