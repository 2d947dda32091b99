"""What did a search find? The best value of all its runs, and the command that makes that run again."""

from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from edgesim.units import show
from experiments.commands import as_typed
from experiments.configuration.command_line import hydra_choice, hydra_folder
from experiments.configuration.provenance import command
from experiments.sweeps.sweep import sweep_arguments

_RESULTS = "optimization_results.yaml"  # as Optuna's sweeper writes them


def best_of_search(arguments: Sequence[str]) -> str | None:
    """Two lines on the search that these arguments asked for, which has ended; None where they asked for none."""
    if not {"-m", "--multirun"} & {*arguments}:
        return None
    help_wanted, words, folders = sweep_arguments(arguments)
    if help_wanted or any(word.startswith("-") for word in words):  # Hydra showed something instead
        return None
    parsed = OverridesParser.create().parse_overrides(words)
    plain = [word for word, override in zip(words, parsed, strict=True) if not override.is_sweep_override()]
    if hydra_choice("hydra/sweeper", *plain, folders=folders) != "optuna":
        return None
    path = hydra_folder(*plain, folders=folders) / _RESULTS
    found = OmegaConf.load(path)
    if "best_params" not in found:
        return f"{len(found.solutions)} solutions, none better than another in all: {path}"
    kept = [
        word
        for word, override in zip(words, parsed, strict=True)
        if not override.key_or_group.startswith("hydra") and override.key_or_group not in found.best_params
    ]
    chosen = [f"{name}={value}" for name, value in found.best_params.items()]
    more = [word for folder in folders for word in ("--config-dir", folder)]
    again = as_typed(command("experiments.run", [*more, *kept, *chosen]))
    return f"best: {show(float(found.best_value), 's')} per iteration (all of it in {path})\nagain: {again}"
