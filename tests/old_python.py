"""Where is an interpreter of the oldest version that boards may have, for tests?"""

import os
import shutil
import subprocess
from pathlib import Path

from real_runtime.ssh.far_host import LEAST_PYTHON

ROOT = Path(__file__).parent.parent


def old_python() -> Path | None:
    """An interpreter of the least version: of EDGESIM_PYTHON_3_10, of the path, or of pyenv."""
    kept = sorted(Path.home().glob(".pyenv/versions/3.10.*/bin/python"))
    named = os.environ.get("EDGESIM_PYTHON_3_10"), shutil.which("python3.10"), *kept
    for python in filter(None, named):
        if said(python, "-c", "import sys; print(*sys.version_info[:2])").split() == list(map(str, LEAST_PYTHON)):
            return Path(python)
    return None


def said(python: str | Path, *words: str) -> str:
    """What it prints; "" where it cannot be run."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    try:
        ran = subprocess.run([python, *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100)
    except OSError:
        return ""
    return ran.stdout if ran.returncode == 0 else ran.stderr
