"""Are hosts over SSH that would learn from different texts refused, before a rank starts on any of them?"""

import ast
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import experiments
from real_runtime.data import DataSpec
from real_runtime.ssh import hosts as hosts_module
from real_runtime.ssh.inventory import Reaching


def of_python(**versions: str) -> list[Any]:
    """Hosts that are up, whose ranks nobody may start."""
    return [
        SimpleNamespace(client=SimpleNamespace(name=name), facts={"python": python}, open=lambda: None)
        for name, python in versions.items()
    ]


def opened_to_learn(data: DataSpec, hosts: Sequence[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts_module, "reached", lambda *_: nullcontext(hosts))
    monkeypatch.setattr(hosts_module, "together", lambda *_: None)
    with hosts_module.ssh_hosts([], Reaching(), data):
        pass


@pytest.mark.parametrize(
    "data", [DataSpec(kind="text"), DataSpec(kind="task", task="halves")], ids=["text", "functions"]
)
def test_hosts_that_would_learn_from_different_texts_are_refused_before_a_rank_starts(
    data: DataSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="without a folder") as refused:
        opened_to_learn(data, of_python(a="3.11.7", b="3.10.13", c="3.11.7"), monkeypatch)
    assert str(refused.value) == (
        f"data={data.chosen_by} without a folder reads the sources of each host's own Python, which are not alike: "
        "3.10.13 on b; 3.11.7 on a, c "
        "(copy one folder of files to every host, and name it: data.folder=/path/on/each/host)"
    )
    assert data.chosen_by == ("text" if data.task is None else "functions")


def test_hosts_of_one_python_and_those_that_are_given_a_folder_start_their_ranks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text, folder = DataSpec(kind="text"), DataSpec(kind="text", folder="/pages")
    glue = DataSpec(kind="task", task="mrpc", folder="/glue")
    alike, mixed = of_python(a="3.11.7", b="3.11.7"), of_python(a="3.11.7", b="3.11.8")
    for data, hosts in ((text, alike), (folder, mixed), (glue, mixed), (DataSpec(kind="digits"), mixed)):
        with pytest.raises(AttributeError, match="begin"):
            opened_to_learn(data, hosts, monkeypatch)


def test_every_command_whose_ranks_learn_says_from_what_when_it_opens_a_testbed() -> None:
    """But what times layers and links alone, and the study whose hosts are all of one machine."""
    silent = set()
    for path in Path(experiments.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            opens = isinstance(node, ast.Call) and ast.unparse(node.func) in ("open_testbed", "FreshTestbeds")
            if opens and len(node.args) < 3:
                silent.add(path.stem if path.stem != "__main__" else path.parent.name)
    assert silent == {"calibrate", "fidelity_study"}
