"""How does a process become a host of a lab? It runs inside the host's network, and needs the standard library only.

Of its own a host gets a process table, folders for files (/tmp, /run), a home (/media), a clock, and, where it is asked
for, a user who is in nobody else's list of users. What it mounts is seen by its own processes alone.
"""

import ctypes
import json
import os
import subprocess
import sys
from typing import Any

_NEWTIME, _NEWPID = 0x00000080, 0x20000000
LAB, HOME = "/mnt", "/media"
"""Where the host has the lab's keys and configurations, and where its user has a home."""
_ASIDE = "/run/aside"


def become(asked: dict[str, Any]) -> None:
    """Be the host that is asked for; this process waits for it."""
    ahead_ns = int(asked["ahead_ns"])
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(_NEWPID | (_NEWTIME if ahead_ns else 0)) != 0:
        sys.exit("no namespaces of processes and of time: " + os.strerror(ctypes.get_errno()))
    if ahead_ns:
        seconds, rest = divmod(ahead_ns, 10**9)
        with open("/proc/self/timens_offsets", "w") as offsets:
            offsets.write(f"monotonic {seconds} {rest}")
    if os.fork():
        os.wait()
        sys.exit()
    settle(asked)
    os.execv(asked["sshd"], [asked["sshd"], "-D", "-e", "-f", f"{LAB}/{asked['name']}.sshd"])


def settle(asked: dict[str, Any]) -> None:
    """Give it its mounts; its user, where it has one, gets a home with the key that lets them in."""
    user, uid = asked["user"], int(asked["uid"])
    mount("--make-rprivate", "/")
    mount("-t", "proc", "proc", "/proc")
    mount("--bind", asked["lab"], LAB)
    mount("-t", "tmpfs", "-o", f"size={asked['home_mb']}m,mode=700,uid={uid},gid={uid}", "host", HOME)
    mount("-t", "tmpfs", "-o", f"size={asked['files_mb']}m", "host", "/tmp")
    mount("-t", "tmpfs", "-o", "mode=755", "host", "/run")
    os.makedirs("/run/sshd")
    if user is not None:
        mount("--bind", f"{LAB}/{asked['name']}.passwd", "/etc/passwd")
        open_to_all(asked["base"])
        os.makedirs(f"{HOME}/.ssh", mode=0o700)
        with open(f"{LAB}/{user}.pub") as key, open(f"{HOME}/.ssh/authorized_keys", "w") as keys:
            keys.write(key.read())
        for path in (f"{HOME}/.ssh", f"{HOME}/.ssh/authorized_keys"):
            os.chown(path, uid, uid)


def open_to_all(place: str) -> None:
    """Let everybody on this host reach a place that lies behind a folder of root's, and nothing else of that folder."""
    parts = place.strip("/").split("/")
    for depth in range(1, len(parts)):
        closed, child = "/" + "/".join(parts[:depth]), "/" + "/".join(parts[: depth + 1])
        if not os.stat(closed).st_mode & 0o001:
            os.makedirs(_ASIDE, exist_ok=True)
            mount("--bind", child, _ASIDE)
            mount("-t", "tmpfs", "-o", "mode=755", "host", closed)
            os.mkdir(child)
            mount("--move", _ASIDE, child)


def mount(*words: str) -> None:
    """As the command does."""
    subprocess.run(["mount", *words], check=True)


if __name__ == "__main__":
    become(json.loads(sys.argv[1]))
