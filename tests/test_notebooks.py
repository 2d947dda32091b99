"""Do the notebooks run in an empty folder, as they are written, and say what their text says?"""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from notebooks import LEAVES, NAMES, NOTEBOOKS, ROOT, outputs


def test_all_notebooks_are_known_here() -> None:
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(NAMES) == set(LEAVES)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_kept_without_outputs_and_needs_edgesim_only(name: str) -> None:
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert {(cell.execution_count, *cell.outputs) for cell in code} == {(None,)}
    imported = set()
    for node in ast.walk(ast.parse("\n".join(cell.source for cell in code))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module))
    assert imported - set(sys.stdlib_module_names) == {"edgesim"}


def executed(name: str, folder: Path) -> Path:
    """The notebook with what it shows, executed in this folder."""
    target = folder.parent / f"{name}.ipynb"
    runner = [sys.executable, str(ROOT / "tests" / "notebooks.py"), str(NOTEBOOKS / f"{name}.ipynb"), str(target)]
    done = subprocess.run(
        runner, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return target


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """An empty folder."""
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_first_results_are_tables_and_figures(empty: Path) -> None:
    notebook = executed("first_results", empty)
    assert {path.name for path in empty.iterdir()} == LEAVES["first_results"]
    assert len(outputs(notebook, "image/png")) == 4
    tables = "".join(outputs(notebook, "text/html"))
    for said in ("data parallel", "sequence parallel", "sent_bytes", "waiting", "the best 6 of 12", "pipeline_ilp"):
        assert said in tables
    speed_ups = re.findall(r"([\d.]+) times as fast as one device", "".join(outputs(notebook, "stdout")))
    assert [float(speed_up) > 1 for speed_up in speed_ups] == [False, True, False, False]


@pytest.mark.slow
@pytest.mark.timeout(420)
@pytest.mark.xdist_group("testbed")
def test_ones_own_model_and_device_are_planned_simulated_and_executed(empty: Path) -> None:
    notebook = executed("your_own_model_and_device", empty)
    assert {path.name for path in empty.iterdir()} == LEAVES["your_own_model_and_device"]
    assert len(outputs(notebook, "image/png")) == 3
    printed = "".join(outputs(notebook, "stdout"))
    assert "my_gpt: 8 layers, 4.90 M parameters" in printed
    assert "got '10 W', which is a power" in printed
    assert re.search(r"closed form of pipelines: \S+ s, optimal \(gap 0\.00%\)", printed)
    assert "out of memory: no pipeline of my_gpt" in printed
    tables = "".join(outputs(notebook, "text/html"))
    assert "measured: " in tables
    assert re.search(r"<td>measured</td>.*<td>simulated</td>|<td>simulated</td>.*<td>measured</td>", tables, re.S)
