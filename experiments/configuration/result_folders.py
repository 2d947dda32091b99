"""How do results reach the disk? Whole or not at all, and with what is needed to make them again."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version

from edgesim.whole_files import refuse_unwritable, whole_folder, write_text
from experiments.configuration.places import REPOSITORY

__all__ = ["refuse_unwritable", "versions", "whole_folder", "write_text"]

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
