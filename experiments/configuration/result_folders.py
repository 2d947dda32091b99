"""How do results reach the disk? Whole or not at all, and with what is needed to make them again."""

import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from experiments.configuration.places import REPOSITORY

PACKAGES = ("edgesim", "torch", "numpy", "simpy", "hydra-core", "matplotlib")


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A temporary folder beside ``target`` that takes its place if all goes well, and vanishes if not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{target.name[:40]}.", dir=target.parent))
    try:
        yield part
        part.chmod(0o755)
        if target.exists():
            shutil.rmtree(target)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def refuse_unwritable(folder: Path) -> None:
    """Raise ValueError if results cannot be written there; nothing is left behind.

    It is asked before anything is planned or executed, so that no result is lost for want of a place.
    """
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise ValueError(f"results={folder} cannot be written to: {error.strerror} (choose another folder)") from error


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
