"""Whose outputs does a cache hold? What must be the same for them to be used again, and how they are kept."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from edgesim.cached_outputs import Storage
from edgesim.whole_files import write_text

FORMAT = 1
"""The version of the files' form; it rises when they are written otherwise."""
NAME = "cache.json"
"""The file of a cache that says whose it is."""

# What two caches may differ in, and how that is told; the first that differs is.
_DIFFERENCES = {
    "format": "has form {old}, and this version reads form {new}",
    "backbone": "is of another backbone: {old}, and this one is {new}",
    "width": "is of a model that is {old} wide, and this one is {new} wide",
    "samples": "is of other samples: {old}, and these are {new}",
    "storage": "keeps numbers as {old}, and they are asked for as {new}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheKey:
    """What outputs depend on, and how they are kept.

    Attributes:
        backbone: a hash of the frozen layers, by their sizes and where their weights come from (``hashes.model_hash``).
        samples: a hash of the data set, in whose order samples have their numbers (``hashes.samples_hash``).
        width: numbers in a row of an output.
        storage: how they are kept.
    """

    backbone: str
    samples: str
    width: int
    storage: Storage
    format: int = FORMAT

    def __post_init__(self) -> None:
        object.__setattr__(self, "storage", Storage(self.storage))
        if self.width < 1:
            raise ValueError(f"activation cache: a row has at least one number, got width={self.width}")


def keep_key(folder: Path, key: CacheKey) -> None:
    """Say in a new cache's folder whose outputs it holds. Raises ValueError where the disk takes no more."""
    write_text(folder / NAME, json.dumps(asdict(key), indent=2) + "\n")


def is_there(folder: Path, key: CacheKey) -> bool:
    """Return whether this cache lies in a folder; False where there is none yet.

    Raises ValueError for a cache of another backbone, of other samples, in another precision or form, and for files
    that are none.
    """
    path = folder / NAME
    if not path.exists():
        if folder.exists() and any(folder.iterdir()):
            raise ValueError(f"{folder} holds files and no activation cache (choose an empty or a new folder)")
        return False
    wanted = asdict(key)
    try:
        found = json.loads(path.read_text())
        there = {name: found[name] for name in wanted}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged, and says not whose outputs lie there (delete {folder})") from error
    for name, said in _DIFFERENCES.items():
        if there[name] != wanted[name]:
            old, new = (str(value)[:12] for value in (there[name], wanted[name]))
            raise ValueError(
                f"the activation cache in {folder} {said.format(old=old, new=new)} (delete it, or choose another)"
            )
    return True
