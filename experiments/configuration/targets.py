"""What does ``_target_`` of a mapping name, and can it be called? Of Hydra's other keys a configuration has one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hydra._internal.utils import _locate

from edgesim.own_code import users_mistake
from experiments.configuration.suggestions import suggestion
from experiments.configuration.value_types import shown

# What Hydra reads of a mapping that it is to build. Of these ours are two: the callable, and whether more is handed
# to it later. The others change how values arrive, which the functions that are called do not foresee.
OF_HYDRA = frozenset(("_target_", "_partial_", "_convert_", "_recursive_", "_args_"))
_OURS = ("_target_", "_partial_")
_PACKAGES = ("edgesim", "experiments", "real_runtime")


def check_target(value: Mapping[str, Any], path: str, *, loads: bool) -> None:
    """Raise ValueError for a mapping that cannot be built; ``loads``: its callable is looked up as well."""
    for key in OF_HYDRA.intersection(value).difference(_OURS):
        raise ValueError(
            f"{path}.{key} cannot be set: of Hydra's keys only {' and '.join(_OURS)} are read (leave it out)"
        )
    if not isinstance(partial := value.get("_partial_", False), bool):
        raise ValueError(f"{path}._partial_: expected true or false, got {shown(partial)}")
    if "_target_" not in value:
        if "_partial_" in value:
            raise ValueError(f"{path}._partial_ needs a {path}._target_, which names what is called")
        return
    target = value["_target_"]
    if not isinstance(target, str):
        raise ValueError(f"{path}._target_: expected a function or class, like edgesim.Device, got {shown(target)}")
    if loads:
        try:
            load(target)
        except ValueError as error:
            raise ValueError(f"{path}._target_: {error}") from error


def is_ours(name: str) -> bool:
    """Whether a name lies in a package of this project."""
    return name.partition(".")[0] in _PACKAGES


def check_class(target: str, kinds: Sequence[Any], path: str) -> None:
    """Raise ValueError for a class that is none of these; what a function gives is seen once it is called.

    So is what a class offers, where anything that offers it will do.
    """
    found = load(target)
    wanted = [each for each in kinds if isinstance(each, type)]
    if any(getattr(each, "_is_protocol", False) for each in wanted):
        return
    if isinstance(found, type) and wanted and not issubclass(found, tuple(wanted)):
        names = " or ".join(each.__name__ for each in wanted)
        raise ValueError(f"{path}._target_: expected a {names}, got {target}")


def load(target: str) -> Callable[..., Any]:
    """The function or class of this name. Raises ValueError for what there is none of."""
    try:
        found = _locate(target)
    except Exception as error:
        raise ValueError(_why(target, error)) from error
    if not callable(found):
        raise ValueError(f"{target!r} is no function or class")
    named: Callable[..., Any] = found
    return named


def _why(target: str, error: Exception) -> str:
    """A mistake in a user's module with its line, a missing module by its name, or the nearest name of the module."""
    if (mistake := users_mistake(error)) is not None:
        return f"cannot load {target!r}: {mistake}"
    module, _, name = target.rpartition(".")
    try:
        there = [name for name, each in vars(_locate(module)).items() if getattr(each, "__module__", "") == module]
    except Exception:
        return f"cannot find {target!r} (write MODULE.FUNCTION, of a module that Python finds)"
    return f"{module} has no {name!r}{suggestion(name, (each for each in there if not each.startswith('_')))}"
