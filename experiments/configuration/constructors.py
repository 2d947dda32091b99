"""What do configuration files name? Constructors of nouns that take what a person writes, and the call of any other."""

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from hydra.utils import instantiate
from omegaconf import DictConfig

from edgesim.cluster import Cluster, Device, Network
from edgesim.errors import ProfileError
from edgesim.model import Model
from edgesim.profile import Profile, estimate, mix
from edgesim.scenario import Event, Scenario
from edgesim.workload import Workload
from experiments.configuration.targets import is_ours, load

_MOST_DEVICES = 10_000  # of a cluster of equals: more than any testbed, and as many as are listed at once

T = TypeVar("T")
Config = DictConfig | Mapping[str, Any]


def build(cfg: Config) -> Any:
    """Call the constructor that the configuration names, with plain Python values."""
    if isinstance(cfg, dict):
        with suppress(Exception):  # Hydra's message says where in the configuration it is
            return _called(cfg)
    return instantiate(cfg, _convert_="all")


def _called(node: Any) -> Any:
    """What Hydra makes of plain values, in a tenth of the time. Raises for whatever is better left to it."""
    if isinstance(node, list):
        return [_called(item) for item in node]
    if isinstance(node, dict):
        values = {key: _called(value) for key, value in node.items() if key not in ("_target_", "_partial_")}
        if "_target_" not in node:
            return values
        function = _ours(node["_target_"])
        return partial(function, **values) if node.get("_partial_") else function(**values)
    if not isinstance(node, int | float | str | None) or (isinstance(node, str) and ("${" in node or node == "???")):
        raise LookupError(f"no plain value: {node!r}")
    return node


@lru_cache(maxsize=1000)
def _ours(target: str) -> Callable[..., Any]:
    """A constructor of this project's. Raises LookupError for others, of which Hydra refuses those that are harmful."""
    if not is_ours(target):
        raise LookupError(f"not ours: {target}")
    function = load(target)
    if not is_ours(str(getattr(function, "__module__", ""))):
        raise LookupError(f"not ours, but imported there: {target}")
    return function


def build_noun(cfg: Config, noun: str, kind: type[T]) -> T:
    """What a noun's mapping names, which is of this kind. Raises ValueError for anything else."""
    return of_kind(build(cfg[noun]), kind, noun)


def of_kind(made: object, kind: type[T], noun: str) -> T:
    """What was made for a noun. Raises ValueError if it is something else."""
    if not isinstance(made, kind):
        raise ValueError(f"{noun}._target_ gives a {type(made).__name__}, and must give a {kind.__name__}")
    return made


def build_function(cfg: Config, noun: str, *positional: str, named: Collection[str] = ()) -> Callable[..., Any]:
    """The function that a noun's mapping names. Raises ValueError if it does not take what it will be handed."""
    function = build(cfg[noun])
    try:
        inspect.signature(function).bind(*positional, **dict.fromkeys(named))
    except TypeError as error:
        handed = ", ".join((*positional, *named))
        raise ValueError(
            f"{noun}._target_ cannot be called with {handed}: {error} (is _partial_: true there?)"
        ) from None
    called: Callable[..., Any] = function
    return called


def estimated(*, model: Model, cluster: Cluster, workload: Workload, modes: Sequence[Device] = ()) -> Profile:
    """An estimated profile for every sample count that a micro-batch can be cut into, also in other power modes."""
    return _estimated(model, (*cluster.devices, *modes), workload)


def _estimated(model: Model, devices: Sequence[Device], workload: Workload) -> Profile:
    return estimate(model, devices, samples=range(1, workload.micro_batch_samples + 1), tokens=workload.tokens)


def alike(*, name: str, device: Device, count: int, network: Callable[..., Network], bytes_per_s: float) -> Cluster:
    """A cluster of ``count`` equal devices; ``network`` is handed a rate for each."""
    if not 1 <= count <= _MOST_DEVICES:
        raise ValueError(f"cluster {name}: count must be from 1 to {_MOST_DEVICES}, got {count}")
    return joined(name=name, devices=[device] * count, network=network, bytes_per_s=bytes_per_s)


def joined(*, name: str, devices: Sequence[Device], network: Callable[..., Network], bytes_per_s: float) -> Cluster:
    """A cluster of these devices whose NICs all have one rate; ``network`` is handed a rate for each."""
    rates = [bytes_per_s] * len(devices)
    return Cluster(name=name, devices=tuple(devices), network=network(transmit_bytes_per_s=rates))


def one_channel(
    *, transmit_bytes_per_s: Sequence[float], latency_s: float, goodput: float, origin: str, source: str
) -> Network:
    """A radio channel that all stations share; each sends to all others at its own rate."""
    stations = len(transmit_bytes_per_s)
    rates = [[rate] * stations for rate in transmit_bytes_per_s]
    return Network.radio(bytes_per_s=rates, latency_s=latency_s, goodput=goodput, origin=origin, source=source)


def scenario(*, seed: int, iteration: int, events: Mapping[str, Event | Sequence[Event]]) -> Scenario:
    """A scenario of named events, so that an override can name a value of one: ``scenario.events.walk.low=0.5``.

    What a name stands for may be several, as drawn losses are.
    """
    each = (named if isinstance(named, tuple | list) else (named,) for named in events.values())
    return Scenario(seed=seed, iteration=iteration, events=tuple(chain.from_iterable(each)))


def measured(*, path: str, model: Model, cluster: Cluster, workload: Workload, modes: Sequence[Device] = ()) -> Profile:
    """A profile file of :mod:`experiments.calibrate`. Raises ProfileError if it is of another model, device or mode."""
    return _measured(path, model, {device.name for device in (*cluster.devices, *modes)}, workload)


def mixed(
    *,
    path: str,
    estimate: Sequence[str],
    model: Model,
    cluster: Cluster,
    workload: Workload,
    modes: Sequence[Device] = (),
) -> Profile:
    """Estimates for the devices that ``estimate`` names, and a profile file for all others.

    Raises ProfileError if a name is no device of the cluster, or if there is nothing to mix.
    """
    devices = {device.name: device for device in (*cluster.devices, *modes)}
    if not set(estimate) < set(devices) or not estimate:
        raise ProfileError(
            f"profile.estimate must name some, not all, of {', '.join(devices)}, got {list(estimate)} "
            f"(for one origin say profile=measured or profile=estimated)"
        )
    known = _measured(path, model, set(devices) - set(estimate), workload)
    guess = _estimated(model, [devices[name] for name in estimate], workload)
    return mix({name: guess if name in estimate else known for name in devices})


def _measured(path: str, model: Model, devices: set[str], workload: Workload) -> Profile:
    """The file's profile, if it has all that is wanted."""
    return fitting(Profile.load(Path(path)), path, model, devices, workload)


def fitting(profile: Profile, name: str, model: Model, devices: set[str], workload: Workload) -> Profile:
    """The profile itself. Raises ProfileError, calling it by this name, if it lacks what is wanted."""
    if profile.model != model.name:
        raise ProfileError(
            f"{name} is a profile of {profile.model}, the model is {model.name} (calibrate it, or take another)"
        )
    known = {point.device for point in profile.points}
    if missing := devices - known:
        raise ProfileError(
            f"{name} was measured for devices {sorted(known)}, asked for {sorted(missing)} (calibrate these, or say "
            f"profile=mixed to estimate them)"
        )
    tokens = {point.tokens for point in profile.points}
    if not min(tokens) <= workload.tokens <= max(tokens):
        raise ProfileError(
            f"{name} was measured for tokens {sorted(tokens)}, asked for {workload.tokens} (calibrate these)"
        )
    return profile
