"""Is there room for a cache? Said before anything is computed, with the bytes that it needs and has."""

import shutil
from math import inf
from pathlib import Path

from edgesim.cached_outputs import Storage, kept_rows
from edgesim.model import Model
from edgesim.units import show
from real_runtime.activation_cache.records import record_bytes


def needed_bytes(
    model: Model, *, samples: int, tokens: int, storage: Storage, layers: tuple[int, int] | None = None
) -> int:
    """Return what the files of a cache take for the outputs of samples, of all layers or of a half-open range.

    Raises ValueError for a model without parallel adapters.
    """
    rows = kept_rows(model, tokens=tokens)[slice(*layers) if layers else slice(None)]
    width = int(model.hyper["hidden"])
    return samples * sum(record_bytes(storage.nbytes(rows=count, numbers=width)) for count in rows if count)


def refuse_too_little_room(folder: str | Path, needed: int, *, limit_bytes: float = inf, held_bytes: int = 0) -> None:
    """Raise ValueError where a disk has less room than a cache needs, or than it may take of it.

    ``held_bytes`` are there already, of a run before.
    """
    place = Path(folder).absolute()
    there = next(path for path in (place, *place.parents) if path.exists())
    free, wanted = shutil.disk_usage(there).free, max(0.0, min(needed, limit_bytes) - held_bytes)
    if free < wanted:
        raise ValueError(
            f"the activation cache in {folder} needs {show(wanted, 'B')} ({wanted:.0f} bytes), and its disk has "
            f"{show(free, 'B')} ({free} bytes) left (make room, choose another folder, or keep numbers as fp16 or int8)"
        )
