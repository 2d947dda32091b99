"""The options of the tests: rewrite golden files instead of comparing with them; run what takes minutes too."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--rewrite-golden`` and ``--soak``."""
    parser.addoption("--rewrite-golden", action="store_true", help="write tests/golden/ anew instead of comparing")
    parser.addoption("--soak", action="store_true", help="run the tests that take minutes, and only these")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes minutes, or all else."""
    soak = config.getoption("--soak")
    kept = [item for item in items if (item.get_closest_marker("soak") is not None) == soak]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept
