"""Where are the configuration files, the kept results and, if there is one, the repository?

In a checkout they stand at its top: conf/ and results/. A wheel brings both along, as experiments/_data/ (setup.py says
which files). Nothing is ever written there: results go where the user stands, unless told another place.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """One copy of the suite on the disk.

    Attributes:
        code: the folder that holds our packages.
        conf: our configuration files.
        kept: results that were kept: profiles and tables that configuration files, figures and claims refer to.
        repository: the working tree that the code is of; None for an installed or exported copy, wherever it lies.
    """

    code: Path
    conf: Path
    kept: Path
    repository: Path | None


def places(code: Path) -> Places:
    """The places of the copy whose packages lie in this folder."""
    data = code / "experiments" / "_data"
    if data.is_dir():
        return Places(code=code, conf=data / "conf", kept=data / "results", repository=None)
    # A copy without .git (a folder, or a file) may lie in some other project's repository, which made nothing.
    repository = code if (code / ".git").exists() else None
    return Places(code=code, conf=code / "conf", kept=code / "results", repository=repository)


_THESE = places(Path(__file__).resolve().parents[2])
CODE, CONF, KEPT, REPOSITORY = _THESE.code, _THESE.conf, _THESE.kept, _THESE.repository


def import_from_here_last() -> None:
    """Let Python find a user's modules where they stand, after all that is installed: theirs never shadow ours."""
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
