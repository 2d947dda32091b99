"""How does a script get hold of a noun? By its name in conf/, or from a file, with values of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from edgesim.cluster import Cluster, Device
from edgesim.model import Model
from edgesim.scenario import Scenario
from edgesim.workload import Workload
from experiments.api.mistakes import in_sentences
from experiments.api.runs import composed_for
from experiments.api.words import SHORT, Choice
from experiments.configuration.command_line import USERS, sentence
from experiments.configuration.constructors import build
from experiments.configuration.setup import read_cluster
from experiments.configuration.suggestions import suggestion
from experiments.console.overview import choices

T = TypeVar("T")
_DEVICE = "loaded"


@in_sentences
def load_device(name: str | Path, /, **options: Any) -> Device:
    """Load a device of conf/device, or of a file like those.

    Args:
        name: Its name there, or the path of a YAML file.
        **options: Values that take the place of the file's (``memory_bytes="2 GiB"``).

    Returns:
        The device.

    Raises:
        ValueError: If the name is unknown, or a value does not fit its key.
    """
    _refuse_nothing("device", name)
    asked = {f"device@devices.{_DEVICE}": name, "devices": {_DEVICE: options}}
    try:
        device: Device = composed_for(asked, lambda config, *_: build(config["devices"][_DEVICE]))
    except USERS as error:  # which names the place where the device was put, of which the caller knows nothing
        said = sentence(error).replace(f"devices.{_DEVICE}.", "").replace(f"@devices.{_DEVICE}", "")
        raise ValueError(said) from None
    return device


@in_sentences
def load_cluster(name: str | Path, /, **options: Any) -> Cluster:
    """Load a cluster of conf/cluster, or of a file like those.

    Args:
        name: Its name there, or the path of a YAML file.
        **options: Values that take the place of the file's: ``rate="20 Mbit/s"``, ``latency="1 ms"``, ``count=4`` where
            its devices are alike, ``devices={"slow": {"flop_per_s": "8 GFLOP/s"}}``, or any other of its keys.

    Returns:
        The cluster.

    Raises:
        ValueError: If the name is unknown, or a value does not fit its key.
    """
    _refuse_nothing("cluster", name)
    named = ["devices"] if isinstance(options.get("devices"), Mapping) else []  # and not in the order of ranks
    short = {key: options.pop(key) for key in (*SHORT, "network", *named) if key in options}
    return composed_for({"cluster": Choice(group="cluster", name=_text(name), options=options), **short}, _cluster)


def _cluster(config: Mapping[str, Any], *_: object) -> Cluster:
    return read_cluster(config)


@in_sentences
def load_model(name: str | Path, /, **options: Any) -> Model:
    """Load a model of conf/model, a Hugging Face configuration, or a layer table.

    Args:
        name: Its name in conf/, or the path of a YAML file, of a ``config.json`` as Hugging Face publishes it (or its
            folder), or of a table that trace_model wrote.
        **options: Values that take the place of the file's (``layers=6``, ``tied=False``).

    Returns:
        The model.

    Raises:
        ValueError: If the name is unknown, a value does not fit its key, or a configuration is not supported.
    """
    return _noun("model", name, options, Model)


@in_sentences
def load_workload(name: str | Path, /, **options: Any) -> Workload:
    """Load a workload of conf/workload, or of a file like those.

    Args:
        name: Its name there, or the path of a YAML file.
        **options: Values that take the place of the file's (``tokens=64``, ``batch_samples=16``).

    Returns:
        The workload.

    Raises:
        ValueError: If the name is unknown, or a value does not fit its key.
    """
    return _noun("workload", name, options, Workload)


@in_sentences
def load_scenario(name: str | Path | Sequence[str], /, **options: Any) -> Scenario:
    """Load a scenario of conf/scenario, or of a file like those.

    Args:
        name: Its name there, several names one on top of the other, or the path of a YAML file.
        **options: Values that take the place of the file's (``seed=3``).

    Returns:
        The scenario.

    Raises:
        ValueError: If the name is unknown, or a value does not fit its key.
    """
    return _noun("scenario", name, options, Scenario)


def _refuse_nothing(group: str, name: object) -> None:
    """Raise ValueError for no name, of which a run would make the default."""
    if name is None:
        raise ValueError(f"{group}: expected a name or a path, got None{suggestion('', choices(group))}")


def _text(name: str | Path) -> str:
    """A path says so, also where its text could be a name."""
    return str(name.expanduser().absolute()) if isinstance(name, Path) else name


def _noun(group: str, name: Any, options: Mapping[str, Any], kind: type[T]) -> T:
    """Build what a configuration's group names."""
    _refuse_nothing(group, name)
    given = name if not isinstance(name, str | Path) else Choice(group=group, name=_text(name), options=options)
    noun = composed_for(_with(group, given, options), lambda config, *_: build(config[group]))
    assert isinstance(noun, kind), noun
    return noun


def _with(group: str, given: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(given, Choice):
        return {group: given}
    return {group: given, **{f"{group}.{key}": value for key, value in options.items()}}


@in_sentences
def load_planner(name: str | Path, /, **options: Any) -> Choice:
    """Choose a planner of conf/planner, or of a file like those, with options of your own.

    Args:
        name: Its name there, or the path of a YAML file.
        **options: Values that take the place of the file's (``latency_s="20 s"``).

    Returns:
        The choice, for ``planner=``.

    Raises:
        ValueError: If the name is unknown, or an option does not fit.
    """
    return _choice("planner", name, options)


@in_sentences
def load_strategy(name: str | Path, /, **options: Any) -> Choice:
    """Choose a strategy of conf/strategy, or of a file like those, with options of your own.

    Args:
        name: Its name there, or the path of a YAML file.
        **options: Values that take the place of the file's (``exchange="star"``).

    Returns:
        The choice, for ``strategy=``.

    Raises:
        ValueError: If the name is unknown, or an option does not fit.
    """
    return _choice("strategy", name, options)


@in_sentences
def load_profile(name: str | Path, /, **options: Any) -> Choice:
    """Choose where seconds come from: a file of conf/profile, or one like those.

    Args:
        name: Its name there, or the path of a YAML file.
        **options: Values that take the place of the file's (``load_profile("measured", path="my.profile.json")``).

    Returns:
        The choice, for ``profile=``.

    Raises:
        ValueError: If the name is unknown, or an option does not fit.
    """
    return _choice("profile", name, options)


@in_sentences
def load_method(name: str | Path, /) -> Choice:
    """Choose a method of conf/method, or of a file like those: a planner and a strategy under one name.

    Args:
        name: Its name there, or the path of a YAML file.

    Returns:
        The choice, for ``method=``.

    Raises:
        ValueError: If the name is unknown.
    """
    return _choice("method", name, {})


def _choice(group: str, name: str | Path, options: Mapping[str, Any]) -> Choice:
    """The choice, once it is known that it can be made."""
    choice = Choice(group=group, name=_text(name), options=dict(options))
    composed_for({group: choice}, lambda *_: None)
    return choice
