"""Which runs does a sweep hold? Every combination of its overrides, each composed into a configuration of its own.

Sweeps are written as Hydra writes them: ``network.rate=20 Mbit/s,100 Mbit/s`` or ``cluster=demo,nanos``. A study's file
may hold them too, under ``study.over``; names joined by ``+`` move together::

    over:
      network.rate: [20 Mbit/s, 100 Mbit/s]
      model+workload: [[bert_small, text], [mobilenet_v2, images]]
"""

import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue

from experiments.configuration.checks import check_plain
from experiments.configuration.command_line import check_complete, composed
from experiments.configuration.places import CONF
from experiments.sweeps.run_key import BESIDE
from experiments.sweeps.varied import Varied, is_plain, may_vary

Overrides = tuple[str, ...]
_LONGEST_NAME = 80


@dataclass(frozen=True)
class Sweep:
    """Overrides of all runs, and the choices that each run combines: one of every dimension."""

    fixed: Overrides
    dimensions: tuple[tuple[Overrides, ...], ...]
    folders: tuple[str, ...] = ()  # of further configuration files

    @cached_property
    def runs(self) -> tuple[Overrides, ...]:
        """The overrides of each run; the last dimension changes fastest."""
        return tuple(tuple(word for choice in choices for word in choice) for choices in product(*self.dimensions))

    @property
    def name(self) -> str:
        """A folder's name for a sweep that was given none: what varies, and a hash of everything that runs depend on.

        >>> Sweep(("seed=1",), ((("strategy=data",), ("strategy=pipeline",)), (("network.rate=1 GB/s",),))).name
        'strategy,network.rate-c0ea5aa9'
        """
        told = [word for word in self.fixed if re.match(r"[+~]*([\w-]*)", word)[1] not in BESIDE]  # type: ignore[index]
        varied = ",".join(word.partition("=")[0].lstrip("+") for choices in self.dimensions for word in choices[0])
        exact = json.dumps([sorted(told), sorted(self.dimensions), sorted(self.folders)])
        plain = re.sub(r"[^\w.,-]+", "_", varied)[:_LONGEST_NAME] or "one_run"
        return f"{plain}-{sha256(exact.encode()).hexdigest()[:8]}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Sent to workers as it was asked for, not as the list of all its runs."""
        return Sweep, (self.fixed, self.dimensions, self.folders)

    def shrunk(self) -> "Sweep":
        """The first run alone, to try whether a study works."""
        return Sweep(self.fixed, tuple(choices[:1] for choices in self.dimensions), self.folders)


def parse(arguments: Sequence[str], folders: Sequence[str] = ()) -> Sweep:
    """A command line's overrides and the study's as a sweep. Raises what Hydra raises for words it cannot read.

    What the command line gives takes the place of the study's dimension of that name.
    """
    overrides = [OverridesParser.create().parse_override(word) for word in arguments]
    fixed = tuple(str(override.input_line) for override in overrides if not override.is_sweep_override())
    dimensions: dict[str, tuple[Overrides, ...]] = {
        override.get_key_element(): tuple(
            # Hydra escapes blanks, which it can read as they are, and so can people.
            (f"{override.get_key_element()}={choice}".replace("\\ ", " "),)
            for choice in override.sweep_string_iterator()
        )
        for override in overrides
        if override.is_sweep_override()
    }
    given = {override.get_key_element().lstrip("+~") for override in overrides}
    study = composed(*fixed, folders=folders).get("study") or {}
    for key, choices in (study.get("over") or {}).items():
        names = str(key).split("+")
        if not given & set(names):
            dimensions[str(key)] = tuple(_choice(str(key), names, choice) for choice in choices)
    return Sweep(fixed, tuple(dimensions.values()), tuple(folders))


def _choice(key: str, names: Sequence[str], choice: Any) -> Overrides:
    values = OmegaConf.to_container(choice) if OmegaConf.is_config(choice) else choice
    if len(names) == 1:
        values = [values]
    if not isinstance(values, list) or len(values) != len(names):
        raise ValueError(f"study.over: {key!r} needs lists of {len(names)} values, got {values!r}")
    return tuple(f"{name}={_written(value)}" for name, value in zip(names, values, strict=True))


def _written(value: Any) -> str:
    """A value as an override writes it."""
    return value if isinstance(value, str) else json.dumps(value)


class Composer:
    """Composes the runs of a sweep. What only sets values starts from a configuration that is composed once."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        self.parser = OverridesParser.create()
        self.words: dict[str, Override] = {}
        self.bases: dict[Overrides, DictConfig] = {}
        self.variations: dict[tuple[Overrides, tuple[str, ...]], Varied | None] = {}
        self.groups = {
            path.relative_to(folder).as_posix()
            for folder in (CONF, *map(Path, sweep.folders))
            for path in Path(folder).rglob("*")
            if path.is_dir()
        }

    def __call__(self, overrides: Overrides) -> dict[str, Any]:
        """The run's configuration, resolved, as plain values. Raises what Hydra raises."""
        parsed = [self.parsed(word) for word in overrides]
        values = {override.key_or_group: override.value() for override in parsed if self._sets_a_value(override)}
        # Fixed values come before choices of files here; Hydra sets values last, whatever their order.
        chosen = tuple(word for word, o in zip(overrides, parsed, strict=True) if not self._sets_a_value(o))
        base = self.base(chosen)
        if all(map(is_plain, values.values())) and (varied := self.varied(chosen, tuple(values))) is not None:
            return _checked(lambda: varied(values), varied.cfg, varied.written)
        cfg = copy.deepcopy(base)
        for key, value in values.items():
            if OmegaConf.select(cfg, key, throw_on_missing=False) is None:
                cfg = composed(*self.sweep.fixed, *overrides, folders=self.sweep.folders)
                break
            OmegaConf.update(cfg, key, value, merge=True)
        return _plain(cfg)

    def base(self, overrides: Overrides) -> DictConfig:
        """The configuration of these overrides, not to be changed: it is composed once."""
        if overrides not in self.bases:
            self.bases[overrides] = composed(*self.sweep.fixed, *overrides, folders=self.sweep.folders)
        return self.bases[overrides]

    def varied(self, chosen: Overrides, keys: tuple[str, ...]) -> Varied | None:
        """What makes the configurations that differ in plain values of these keys; None where any of them is none."""
        if (chosen, keys) not in self.variations:
            base = self.base(chosen)
            self.variations[chosen, keys] = Varied(base, keys) if may_vary(base, keys) else None
        return self.variations[chosen, keys]

    def parsed(self, word: str) -> Override:
        """The override, which is read once: thousands of runs repeat few."""
        if word not in self.words:
            self.words[word] = self.parser.parse_override(word)
        return self.words[word]

    def _sets_a_value(self, override: Override) -> bool:
        return (
            override.type is OverrideType.CHANGE
            and override.package is None
            and override.key_or_group.replace(".", "/") not in self.groups
            and not override.key_or_group.startswith("hydra")
        )


@lru_cache(maxsize=1)
def composer_of(sweep: Sweep, call: str) -> Composer:
    """This process's composer of a sweep: what was composed to check the choices is not composed again to make them.

    ``call`` tells this sweep from another of the same words: between them configuration files may be edited.
    """
    return Composer(sweep)


def _plain(cfg: DictConfig) -> dict[str, Any]:
    return _checked(
        lambda: OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True),
        cfg,
        OmegaConf.to_container(cfg, resolve=False),
    )


def _checked(resolve: Callable[[], Any], cfg: DictConfig, written: Any) -> dict[str, Any]:
    """A configuration, resolved, as plain values that fit their keys."""
    try:
        plain = resolve()
    except MissingMandatoryValue:
        check_complete(cfg)  # names the value in full, and the way out
        raise
    values = {str(key): value for key, value in plain.items()}
    check_plain(values, written)
    return values


def flat(config: Mapping[str, Any], prefix: str = "config") -> Iterator[tuple[str, str | None]]:
    """Columns and texts of a configuration, lists whole."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}.{name}")
        else:
            yield f"{prefix}.{name}", None if value is None else _written(value)
