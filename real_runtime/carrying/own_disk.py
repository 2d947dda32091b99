"""What of a checkpoint does a rank keep on a disk of its own? Its layers and the backups that it has, in one file.

Two checkpoints stay: the newest may not be whole, if somebody is lost before all have written.
"""

from pathlib import Path

from real_runtime.carrying.store import Store
from real_runtime.weights.tensor_files import load_tensors, save_tensors

_STAY = 2


def own_file(folder: Path, rank: int, version: int, told: int) -> Path:
    """A rank's file of a checkpoint; ``told`` is the number with which all of its ranks were told to write."""
    return folder / f"rank-{rank}" / f"version-{version}-{told}.safetensors"


def write_own(path: Path, store: Store, version: int) -> int:
    """Write what a store keeps of a version, whole or not at all; return the bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    earlier = sorted(path.parent.glob("version-*.safetensors"), key=lambda each: each.stat().st_mtime_ns)
    kept = {str(layer): numbers for (layer, of), numbers in store.kept.items() if of == version}
    place = path.with_suffix(".unfinished")
    save_tensors(place, kept)
    place.rename(path)
    for old in earlier[: len(earlier) - _STAY + 1]:
        old.unlink()
    return sum(numbers.nbytes for numbers in kept.values())


def read_own(path: Path, store: Store, version: int) -> int:
    """Keep what a file has of a version; return the bytes."""
    named = load_tensors(path)
    store.keep(((int(layer), numbers) for layer, numbers in named.items()), version)
    return sum(numbers.nbytes for numbers in named.values())
