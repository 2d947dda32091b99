"""Where do ``simulate``, ``sweep`` and ``compare`` come from? From experiments.api, when someone first asks for one.

The library never imports what stands on it, with this one exception, which is a look-up and no import: a script that
says ``import edgesim`` has all front-door names, and loads Hydra, pandas or Matplotlib only if it uses them.

Our packages are taken from the folder that holds edgesim itself: a folder called ``experiments`` beside a user's script
is never taken for ours.
"""

import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesim.errors import EdgesimError

if TYPE_CHECKING:  # for editors and type checkers
    from experiments.api import (
        Calibration,
        Choice,
        Comparison,
        Result,
        SweepTable,
        calibrate,
        choices,
        compare,
        execute,
        load_cluster,
        load_device,
        load_method,
        load_model,
        load_planner,
        load_profile,
        load_scenario,
        load_strategy,
        load_workload,
        make_plan,
        simulate,
        sweep,
    )

__all__ = [
    "Calibration",
    "Choice",
    "Comparison",
    "Result",
    "SweepTable",
    "calibrate",
    "choices",
    "compare",
    "execute",
    "load_cluster",
    "load_device",
    "load_method",
    "load_model",
    "load_planner",
    "load_profile",
    "load_scenario",
    "load_strategy",
    "load_workload",
    "make_plan",
    "simulate",
    "sweep",
]
HOME = Path(__file__).resolve().parent.parent
_OURS = ("experiments", "real_runtime")
# Of what a bare install lacks, by the module's name; whatever else is missing comes with the experiments.
_EXTRAS = {
    "sim": ("simpy", "pulp", "highspy"),
    "runtime": ("torch", "transformers", "sklearn"),
    "cluster": ("ray", "submitit"),
}


def find(name: str) -> Any:
    """Return what experiments.api calls by this name. Raises EdgesimError if that, or what it needs, is not there."""
    claim()
    try:
        return getattr(import_module("experiments.api"), name)
    except ModuleNotFoundError as error:
        raise missing(error, f"edgesim.{name}") from error


def claim() -> None:
    """Let our packages be imported from where edgesim lies, whatever else is called like them.

    Raises EdgesimError where another package of such a name was imported before.
    """
    for package in _OURS:
        init = HOME / package / "__init__.py"
        if package not in sys.modules and init.is_file():
            spec = spec_from_file_location(package, init, submodule_search_locations=[str(init.parent)])
            assert spec is not None, init
            assert spec.loader is not None, init
            sys.modules[package] = module = module_from_spec(spec)
            spec.loader.exec_module(module)
        elif init.is_file() and (there := _place(package)) != init.parent:
            raise EdgesimError(
                f"a package {package!r} of your own was imported from {there}, and edgesim has one of that name "
                f"(ask edgesim for what you need before you import yours, or give yours another name)"
            )


def _place(package: str) -> Path | None:
    """The folder of an imported package."""
    folders = list(getattr(sys.modules[package], "__path__", None) or [])
    file = getattr(sys.modules[package], "__file__", None)
    return Path(folders[0]).resolve() if folders else Path(file).resolve() if file else None


def missing(error: ModuleNotFoundError, wanted: str) -> EdgesimError:
    """Return what to install for ``wanted``, as an error to raise."""
    module = (error.name or "").partition(".")[0]
    if module in _OURS:
        return EdgesimError(f"{wanted} needs the package {module}, which is not beside edgesim (install edgesim anew)")
    extra = next((extra for extra, modules in _EXTRAS.items() if module in modules), "experiments")
    return EdgesimError(f"{wanted} needs {module}, which is not installed (pip install 'edgesim[{extra}]')")
