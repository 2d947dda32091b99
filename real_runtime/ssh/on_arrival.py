"""What happens first on a host? It is looked at, gets the runtime if it has it not, and becomes the agent.

This file's text is sent to the host's Python and run there before anything of ours is: it imports nothing of ours, and
what it refuses it says in one line. Its standard input is the channel, of which it reads no byte too many.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import platform
import shutil
import sys
import sysconfig
import time
import zipfile
from typing import Any

_KEPT = 3  # of versions of the runtime, the newest
_TORN_S = 3600.0  # after which what an interrupted transfer left is nobody's any more
_COMPLETE = "complete"  # the file that is written last
# Nothing of the folder where we stand, where Python does not know PYTHONSAFEPATH, which it has since 3.11.
_ALONE = (
    "import sys;sys.path[:]=filter(None,sys.path);"
    "import runpy;runpy.run_module('real_runtime.ssh.agent',run_name='__main__',alter_sys=True)"
)


class RefusedError(Exception):
    """The host cannot be used as it is: why, and what to do about it."""


def read(nbytes: int) -> bytes:
    """So many bytes of the standard input, and no more. Raises RefusedError where it ends before."""
    parts = []
    while nbytes:
        part = os.read(0, min(nbytes, 1 << 20))
        if not part:
            raise RefusedError("the connection ended while the runtime was sent")
        parts.append(part)
        nbytes -= len(part)
    return b"".join(parts)


def read_line() -> str:
    """A line of the standard input."""
    line = b""
    while not line.endswith(b"\n"):
        line += read(1)
    return line.decode()


def say(**message: Any) -> None:
    """A line to whoever has called."""
    os.write(1, (json.dumps(message) + "\n").encode())


def check(asked: dict[str, Any]) -> None:
    """Raise RefusedError for a Python that is too old, a package that is missing, and a wheel for another machine."""
    python, (major, minor) = sys.executable, asked["python"]
    if sys.version_info[:2] < (major, minor):
        raise RefusedError(
            f"its {python} is Python {platform.python_version()}, edgesim needs {major}.{minor} or newer (install it, "
            "and name it in the inventory: python: /path/to/python3)"
        )
    here = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    if not any(each in ("any", here) for each in asked["platforms"]):
        raise RefusedError(
            f"the wheel {asked['wheel']} is for {' or '.join(asked['platforms'])}, and this is {here} (leave "
            "testbed.reaching.wheel out, or build one for it)"
        )
    missing = [name for name in asked["packages"] if importlib.util.find_spec(name) is None]
    if missing:
        install = " ".join(asked["packages"][name] for name in missing)
        raise RefusedError(
            f"its {python} has no {', '.join(missing)} ({python} -m pip install {install}, or name another Python in "
            "the inventory: python: /path/to/python3)"
        )


def has(place: str, asked: dict[str, Any]) -> bool:
    """Whether this version lies there as it was packed: every file by its hash."""
    wheel = os.path.join(place, asked["wheel"])
    try:
        with open(wheel, "rb") as file:
            if hashlib.sha256(file.read()).hexdigest() != asked["sha256"]:
                return False
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                with open(os.path.join(place, name), "rb") as file:
                    if file.read() != archive.read(name):
                        return False
        return os.path.exists(os.path.join(place, _COMPLETE))
    except (OSError, zipfile.BadZipFile):
        return False


def unpack(folder: str, place: str, asked: dict[str, Any]) -> None:
    """Receive the wheel, and put what is in it in its place, whole or not at all. Raises RefusedError, OSError."""
    content = read(asked["nbytes"])
    found = hashlib.sha256(content).hexdigest()
    if found != asked["sha256"]:
        raise RefusedError(
            f"the wheel that arrived has hash {found[:12]}, sent was {asked['sha256'][:12]} (start again; if it stays "
            "so, the line or the disk is faulty)"
        )
    torn = f"{place}.torn-{os.getpid()}"
    try:
        os.makedirs(torn, mode=0o700)
        wheel = os.path.join(torn, asked["wheel"])
        with open(wheel, "wb") as file:
            file.write(content)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(torn)
        with open(os.path.join(torn, _COMPLETE), "w") as file:
            file.write(asked["sha256"])
        shutil.rmtree(place, ignore_errors=True)
        os.rename(torn, place)
    finally:
        shutil.rmtree(torn, ignore_errors=True)
    tidy(folder)


def tidy(folder: str) -> None:
    """Remove old versions, and what was torn long ago."""
    paths = [os.path.join(folder, name) for name in os.listdir(folder)]
    whole = sorted((path for path in paths if ".torn-" not in path), key=os.path.getmtime)
    torn = [path for path in paths if ".torn-" in path and time.time() - os.path.getmtime(path) > _TORN_S]
    for path in whole[:-_KEPT] + torn:
        shutil.rmtree(path, ignore_errors=True)


def free_mb(folder: str) -> float:
    """Megabytes that are free where a folder is, or would be."""
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder) or "/"
    return shutil.disk_usage(folder).free / 1e6


def arrive() -> None:
    """Make this process the agent, or say why not."""
    asked = json.loads(read_line())
    folder = os.path.join(os.path.expanduser(asked["folder"]), "runtime")
    place = os.path.join(folder, asked["sha256"][:16])
    try:
        check(asked)
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            is_there = has(place, asked)
            say(has=is_there)
            if not is_there:
                unpack(folder, place, asked)
            os.utime(place)
        except OSError as error:
            raise RefusedError(
                f"the runtime cannot be kept in {folder}: {error.strerror} ({free_mb(folder):.1f} MB are free there; "
                "make room, or name another folder: testbed.reaching.folder=...)"
            ) from error
    except RefusedError as refused:
        say(refused=str(refused))
        return
    environment = dict(os.environ, PYTHONPATH=place, PYTHONSAFEPATH="1")
    agent = ["-m", "real_runtime.ssh.agent"] if sys.version_info >= (3, 11) else ["-c", _ALONE]
    os.execve(sys.executable, [sys.executable, *agent], environment)


if __name__ == "__main__":
    arrive()
