"""Which studies are there? The files of conf/experiment that have a ``study``: what it sweeps, and what it draws."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

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
        cfg = OmegaConf.load(path)
        entries = cfg.get("study") if isinstance(cfg, DictConfig) else None
        if entries is not None:
            yield Study(
                experiment=path.stem,
                name=str(entries.name),
                figures=tuple(entries.get("figures") or ()),
                beside=tuple(entries.get("with") or ()),
                together=tuple(entries.get("together") or ()),
            )


def table_path(results: Path, study: str) -> Path:
    """Where a study's tidy table is kept."""
    return results / study / "table.csv"
