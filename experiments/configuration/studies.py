"""Which studies are there? The files of conf/experiment that have a ``study``: what it sweeps, and what it draws."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from experiments.configuration.places import CONF


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One of them.

    Attributes:
        experiment: its file's name, for ``experiment=``.
        name: of its table's folder.
        figures: that it draws.
        beside: other studies whose measured and published numbers are drawn in (``with`` in the file).
        together: other studies whose whole tables are drawn as if they were of this one.
    """

    experiment: str
    name: str
    figures: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    together: tuple[str, ...] = ()


def studies(folders: Sequence[Path] = (CONF,)) -> Iterator[Study]:
    """All studies in these folders of configuration files, by file name."""
    for path in sorted(path for folder in folders for path in (folder / "experiment").glob("*.yaml")):
        plain = OmegaConf.to_container(OmegaConf.load(path))
        entries = plain.get("study") if isinstance(plain, dict) else None
        if entries is not None:
            if not isinstance(entries, dict) or not isinstance(entries.get("name"), str):
                raise ValueError(f"{path}: a study has a name (write study: and beneath it name: ...)")
            yield Study(
                experiment=path.stem,
                name=entries["name"],
                figures=_names(path, entries, "figures"),
                beside=_names(path, entries, "with"),
                together=_names(path, entries, "together"),
            )


def _names(path: Path, entries: Mapping[str, Any], key: str) -> tuple[str, ...]:
    names = entries.get(key) or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{path}: study.{key} is a list of names, like [throughput, latency], got {names!r}")
    return tuple(names)


def table_path(results: Path, study: str) -> Path:
    """Where a study's tidy table is kept."""
    return results / study / "table.csv"
