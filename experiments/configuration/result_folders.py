"""How do results reach the disk? Whole or not at all, and with what is needed to make them again."""

import json
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edgesim.errors import reading, text_of
from edgesim.whole_files import json_text, refuse_unwritable, whole_folder, write_text
from experiments.configuration.places import REPOSITORY

__all__ = ["entries_of", "json_text", "refuse_unwritable", "versions", "whole_folder", "write_text"]

PACKAGES = ("edgesim", "torch", "numpy", "simpy", "hydra-core", "matplotlib")


def versions() -> dict[str, str | bool | None]:
    """What made a result: Python, packages, machine, and the state of the repository; results are no part of that.

    An installed copy has no repository, and says nothing of one in which the user happens to stand.
    """
    changes = _git("status", "--porcelain", "--", ":/", ":!/results")
    return {
        "python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
        "machine": f"{platform.system()} {platform.release()} {platform.machine()}",
        "git_commit": _git("rev-parse", "HEAD"),
        "git_dirty": None if changes is None else bool(changes),
    }


def entries_of(path: Path, what: str, *, written_by: str) -> dict[str, Any]:
    """The entries of a JSON file that is written again with more of them; none where there is no file yet.

    Raises ValueError, naming the file, for one that holds anything else.
    """
    if not path.exists():
        return {}
    with reading(str(path), what, written_by=written_by):
        entries = json.loads(text_of(path, what))
        if not isinstance(entries, dict):
            raise TypeError(f"it must hold an object of entries, got a {type(entries).__name__}")
    return entries


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    """What git says of our repository; None without one."""
    if REPOSITORY is None:
        return None
    try:
        done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
