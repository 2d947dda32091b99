"""Which models can ranks build? Those of the files in models/, which are named here and not loaded."""

from pathlib import Path
from pkgutil import iter_modules

from edgesim.model import Model

_FOLDER = Path(__file__).parent / "models"


def known_architectures() -> list[str]:
    """The architectures that have a file."""
    return [module.name for module in iter_modules([str(_FOLDER)])]


def refuse_unknown(model: Model) -> None:
    """Raise ValueError for a model of an architecture that has no file."""
    known = known_architectures()
    if model.architecture not in known:
        raise ValueError(
            f"unknown architecture {model.architecture!r} of model {model.name} (known: {', '.join(sorted(known))})"
        )
