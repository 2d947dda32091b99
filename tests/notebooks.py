"""Executes a notebook in the folder where it is started: ``python notebooks.py NOTEBOOK EXECUTED``, by that python."""

import asyncio
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
NOTEBOOKS = ROOT / "docs" / "notebooks"
NAMES = ("first_results", "your_own_model_and_device")
# What each leaves where it was started, beside itself.
LEAVES = {
    "first_results": {"four_parallelisms.png", "gantt.pdf", "over_bandwidth.pdf", "results"},
    "your_own_model_and_device": {"my_gpt", "my_board.yaml", "gantt.png", "simulated_and_measured.png"},
}
CELL_S = 240


def outputs(executed: Path, kind: str) -> list[str]:
    """All that its cells show of a kind, a MIME type or ``stdout``."""
    shown = []
    for cell in nbformat.read(executed, as_version=4).cells:
        for output in cell.get("outputs", ()):
            if kind == output.get("name"):
                shown.append(output.text)
            elif kind in output.get("data", ()):
                shown.append(output.data[kind])
    return shown


def execute(path: Path, target: Path) -> None:
    """Run all cells, and write the notebook with what they show. Raises CellExecutionError where a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    with TemporaryDirectory(prefix="notebook-") as own:  # nothing is left in the home of whoever runs the tests
        os.environ |= {"JUPYTER_RUNTIME_DIR": own, "IPYTHONDIR": own, "JUPYTER_CONFIG_DIR": own}
        client = NotebookClient(notebook, timeout=CELL_S, resources={"metadata": {"path": str(Path.cwd())}})
        client.create_kernel_manager().transport = "ipc"  # no port, which others on the machine could talk to
        asyncio.run(client.async_execute())
    nbformat.write(notebook, target)


if __name__ == "__main__":
    execute(Path(sys.argv[1]), Path(sys.argv[2]))
