"""Where may trained weights be written? A folder of their own, which is there whole or not at all."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from edgesim.scratch import scratch_folder
from edgesim.whole_files import refuse_unwritable
from real_runtime.assignment import Assignment

# What a folder of weights holds that is written here.
_OURS = re.compile(
    r"config\.json|generation_config\.json|model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json"
)


def refuse_place(target: Path) -> None:
    """Raise ValueError for a place that cannot be written to, and for one that holds what is not written anew."""
    refuse_unwritable(target.parent)
    if target.exists() and not target.is_dir():
        raise ValueError(f"save_weights={target} is a file (choose a folder)")
    for other in sorted(path.name for path in target.glob("*") if not _OURS.fullmatch(path.name)):
        raise ValueError(
            f"save_weights={target}: the folder would be replaced, and holds {other} as well (choose another folder)"
        )


@contextmanager
def saving(assignment: Assignment, target: Path) -> Iterator[Assignment]:
    """Within, the assignment is to be played; what its ranks have trained then is in the folder, whole, or as it was.

    Raises ValueError where it cannot be written.
    """
    # Only who saves weights loads PyTorch where ranks are started from.
    from real_runtime.saving.whole_model import save

    target.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(within=target.parent, prefix=f".{target.name[:40]}.ranks.") as parts:
        yield replace(assignment, results_folder=str(parts))
        save(assignment, parts, target)
