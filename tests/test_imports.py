"""A device installs NumPy only: importing the nouns brings nothing else along, and figures no PyTorch."""

import subprocess
import sys

HEAVY = ("torch", "transformers", "hydra", "omegaconf", "matplotlib", "pandas", "simpy", "pulp", "scipy")


def loaded_by(code: str) -> set[str]:
    """Which of the heavy packages a fresh interpreter has loaded after running the code."""
    report = f"{code}\nimport sys\nprint(*sorted(set({HEAVY!r}) & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", report], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_the_nouns_need_no_heavy_package() -> None:
    assert loaded_by("import edgesim") == set()


def test_the_strategies_need_no_heavy_package() -> None:
    assert loaded_by("import edgesim.strategies.data, edgesim.strategies.pipeline") == set()


def test_the_simulator_needs_simpy_and_nothing_more() -> None:
    assert loaded_by("import edgesim.simulator") == {"simpy"}


def test_testbeds_are_opened_without_pytorch_which_only_ranks_need() -> None:
    assert not {"torch", "transformers"} & loaded_by("import experiments.execution.assignments, experiments.calibrate")


def test_figures_of_tables_are_drawn_without_pytorch() -> None:
    loaded = loaded_by("import experiments.figures.any_table")
    assert "matplotlib" in loaded
    assert not {"torch", "transformers"} & loaded
