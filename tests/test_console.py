"""Does ``edgesim`` start what it says, in its own words, and complete what is typed?"""

import ast
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from experiments.commands import COMMANDS, Command, as_typed
from experiments.configuration.command_line import composed
from experiments.configuration.places import CODE, CONF, KEPT
from experiments.configuration.setup import read_setup
from experiments.configuration.yaml_files.copies import copy_of
from experiments.console import __main__ as console
from experiments.console.completion import ways_on
from experiments.console.conf import main as conf
from experiments.console.overview import choices, groups_of_conf
from experiments.figures.__main__ import main as figures
from experiments.plan import main as plan

STARTED = "/somewhere/bin/edgesim"
FAKE = "import sys\ndef main():\n    print(*sys.argv[1:])\n    return 3\n"


@pytest.fixture(autouse=True)
def process_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``edgesim`` sets for its own process is taken back."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "argv", [STARTED])
    monkeypatch.setenv("PYTHONSAFEPATH", "")


def edgesim(*words: str) -> int:
    """The exit code of a command line."""
    sys.argv[1:] = words
    return console.main()


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A folder with the script that an installation would make, of this very code."""
    path = tmp_path / "bin" / "edgesim"
    path.parent.mkdir()
    start = "import sys; from experiments.console.__main__ import main; sys.exit(main())"
    path.write_text(
        f"#!/bin/sh\nexec {sys.executable} -P - \"$@\" <<'END'\nimport sys; sys.argv[0] = '{path}'; {start}\nEND\n"
    )
    path.chmod(0o755)
    return path


def test_every_command_is_a_module_with_a_main() -> None:
    for command in COMMANDS:
        spec = find_spec(command.module)
        assert spec is not None, command
        assert spec.origin is not None
        file = Path(spec.origin)
        file = file.with_name("__main__.py") if file.name == "__init__.py" else file
        functions = [node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)]
        assert "main" in functions, file


def test_every_module_that_can_be_started_by_itself_is_a_command() -> None:
    """But for ranks, agents and hosts of a lab, which only a testbed starts, and for this command itself."""
    started = {
        ".".join(path.relative_to(CODE).with_suffix("").parts).removesuffix(".__main__")
        for package in ("experiments", "real_runtime")
        for path in (CODE / package).rglob("*.py")
        if 'if __name__ == "__main__":' in path.read_text()
    }
    by_testbeds = {
        "real_runtime",
        "real_runtime.ssh.agent",
        "real_runtime.ssh.on_arrival",
        "experiments.testbed.lab_host",
    }
    assert started - {command.module for command in COMMANDS} == by_testbeds | {"experiments.console"}


def test_help_names_all_commands_all_groups_and_their_choices(capsys: pytest.CaptureFixture[str]) -> None:
    assert edgesim("--help") == 0
    said = capsys.readouterr().out
    assert all(f"\n  {command.name} " in said and command.says in said for command in COMMANDS)
    assert all(f"\n  {group} " in said for group in groups_of_conf())
    words = said.replace(",", " ").split()
    assert {name for group in groups_of_conf() for name in choices(group)} <= set(words)
    assert edgesim() == 2
    assert capsys.readouterr().out == said


def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert edgesim("simulate") == 2
    assert edgesim("figurs") == 2
    error = capsys.readouterr().err
    assert "error: unknown command 'figurs' (did you mean 'figures'?" in error
    assert error.count("\n") == 2


def test_the_version_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert edgesim("--version") == 0
    assert capsys.readouterr().out.startswith("edgesim ")


def test_a_command_hands_its_words_on_and_a_sweep_is_a_run_of_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fake_command.py").write_text(FAKE)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, words in (("run", "strategy=data"), ("sweep", "-m strategy=data")):
        assert console.start(Command(name=name, module="fake_command", says=""), ["strategy=data"]) == 3
        assert capsys.readouterr().out == f"{words}\n"
    (by_name,) = {command.module for command in COMMANDS if command.name in ("run", "sweep")}
    assert by_name == "experiments.run"


def test_what_is_not_installed_is_named_with_the_way_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "needy_command.py").write_text("import a_package_that_nobody_has\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert console.start(Command(name="trace", module="needy_command", says=""), []) == 2
    error = capsys.readouterr().err
    assert error.startswith(
        "error: edgesim trace needs a_package_that_nobody_has, which is not installed (pip install "
    )
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("run python -m experiments.run strategy=data", "run edgesim run strategy=data"),
        ("python -m experiments.run -m experiment=a", "edgesim sweep experiment=a"),
        ("(python -m experiments.figures)", "(edgesim figures)"),
        ("python -m experiments.planner_bench --kept", "edgesim bench --kept"),
        ("python -m experiments.fit_device.", "edgesim fit-device."),
        ("python -m real_runtime.tracing.trace_model a", "edgesim trace a"),
        ("python -m real_runtime", "python -m real_runtime"),
        ("python -m experiments.runner", "python -m experiments.runner"),
    ],
)
def test_a_text_names_commands_as_they_were_typed(text: str, typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert as_typed(text) == typed
    monkeypatch.setattr(sys, "argv", ["/somewhere/experiments/run.py"])
    assert as_typed(text) == text


def test_usage_lines_and_mistakes_say_the_commands_own_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit):
        figures(["--help"])
    said = capsys.readouterr().out
    assert said.startswith("usage: edgesim figures ")
    assert "\n    edgesim figures parallelisms " in said
    assert figures(["scaling", "--results", str(tmp_path)]) == 2
    assert "(run edgesim sweep experiment=scaling, then edgesim collect scaling)" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["figures.py"])
    with pytest.raises(SystemExit):
        figures(["--help"])
    assert capsys.readouterr().out.startswith("usage: python -m experiments.figures ")


def test_a_plan_is_printed_with_its_proof_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    sys.argv[1:] = ["model=bert_tiny_bytes", "strategy=hybrid_pipeline", "planner=ilp_hybrid_pipeline"]
    plan()
    said = capsys.readouterr().out
    assert "\nplan: layers 0-" in said
    assert "optimal" in said
    assert list(tmp_path.iterdir()) == []


# ---- completion ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "among"),
    [
        ("edgesim ", {"run ", "sweep ", "conf "}),
        ("edgesim sw", {"sweep "}),
        ("edgesim run clus", {"cluster=", "cluster."}),
        ("edgesim run cluster=", {f"cluster={name}" for name in choices("cluster")}),
        ("edgesim run strategy=data cluster=na", {"cluster=nanos"}),
        ("edgesim sweep planner=ilp_h", {"planner=ilp_hybrid_pipeline"}),
        ("edgesim plan network.ra", {"network.rate="}),
        ("edgesim run network.rate=", {"network.rate=100 Mbit/s"}),
        ("edgesim conf ", {"list ", "copy "}),
        ("edgesim conf copy model/vit", {"model/vit_base"}),
        ("edgesim conf list de", {"device"}),
    ],
)
def test_a_line_goes_on_with_commands_groups_choices_and_keys(line: str, among: set[str]) -> None:
    found = ways_on(line)
    assert among <= set(found)
    assert all(word.startswith(line.rpartition(" ")[2]) for word in found)


def test_where_nothing_is_known_nothing_is_said() -> None:
    """Then the shell completes names of files."""
    assert [ways_on(line) for line in ("edgesim figures x", "edgesim nothing ", "edgesim conf copy nothing/")] == [
        []
    ] * 3


def test_choices_of_ones_own_folder_are_completed(tmp_path: Path) -> None:
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / "nanos_of_mine.yaml").write_text("defaults: [nanos]\n")
    found = ways_on(f"edgesim run --config-dir {tmp_path} cluster=nanos")
    assert found == ["cluster=nanos", "cluster=nanos_of_mine"]


@pytest.mark.slow
def test_bash_completes_with_what_is_documented(script: Path) -> None:
    """As an interactive bash would: the function that install=bash defines is asked, word by word."""
    asks = """
        eval "$(edgesim -sc install=bash)"
        for COMP_LINE in "edgesim ru" "edgesim run clus" "edgesim run cluster=gal" "edgesim run network.rate="; do
            COMP_POINT=${#COMP_LINE} COMPREPLY=(); _edgesim_completion; printf '<%s>' "${COMPREPLY[@]}"; echo
        done
        complete -p edgesim; eval "$(edgesim -sc uninstall=bash)"; complete -p edgesim 2>&1 || true
    """
    env = os.environ | {"PATH": f"{script.parent}:{os.environ['PATH']}", "PYTHONPATH": str(CODE)}
    done = subprocess.run(["bash", "-c", asks], env=env, capture_output=True, text=True, check=True, timeout=120)
    galaxies = "".join(f"<cluster={name}>" for name in choices("cluster") if name.startswith("gal"))
    first, *_ = lines = done.stdout.splitlines()
    assert first == "<run >"
    assert lines[1:4] == ["<cluster.><cluster=>", galaxies, r"<network.rate=100\ Mbit/s>"]
    assert lines[4] == "complete -o default -o nospace -F _edgesim_completion edgesim"
    assert "no completion specification" in lines[5]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_a_shell_without_completion_of_its_own_is_told_the_way_round(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        edgesim("-sc", f"install={shell}")
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert f"got 'install={shell}' (zsh takes bash's after: autoload -U +X bashcompinit && bashcompinit" in said
    assert said.count("\n") == 1


# ---- a reader that leaves --------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("words", ["experiments.run --help", "experiments.console run --help"])
def test_a_command_whose_reader_leaves_ends_without_a_word(words: str) -> None:
    command = f"{sys.executable} -m {words} | true; echo ${{PIPESTATUS[0]}}"
    env = os.environ | {"PYTHONPATH": str(CODE)}
    done = subprocess.run(["bash", "-c", command], env=env, capture_output=True, text=True, check=True, timeout=120)
    assert (done.stdout, done.stderr) == ("141\n", "")


# ---- configuration files ---------------------------------------------------------------------------------------------


def test_where_says_the_folders(capsys: pytest.CaptureFixture[str]) -> None:
    assert conf(["where"]) == 0
    said = capsys.readouterr().out
    assert str(CONF) in said
    assert str(KEPT) in said


def test_lists_are_of_groups_and_of_files_with_what_they_say_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert conf(["list"]) == 0
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()} == set(groups_of_conf())
    for group in groups_of_conf():
        assert conf(["list", group]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines] == choices(group)
        assert all(len(line.split()) > 2 for line in lines), "each file's first line says what it is"


def test_a_copy_leads_where_the_file_led_is_used_by_the_command_that_it_says_and_overwrites_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert conf(["copy", "scenario/trace"]) == 0
    said = capsys.readouterr().out
    assert "\n  edgesim run --config-dir my_conf scenario=my_trace\n" in said
    assert str(read_setup(composed("scenario=my_trace", folders=["my_conf"])).scenario) != "nothing happens"
    copied = tmp_path / "my_conf" / "scenario" / "my_trace.yaml"
    copied.write_text("mine")
    assert conf(["copy", "scenario/trace"]) == 2
    assert "is there already (remove it, or give another --name)" in capsys.readouterr().err
    assert copied.read_text() == "mine"
    assert conf(["copy", "scenario/trace.yaml", "elsewhere", "--name", "walk"]) == 0
    assert (tmp_path / "elsewhere" / "scenario" / "walk.yaml").is_file()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["copy", "clustr/demo"], "unknown group 'clustr' (did you mean 'cluster'?"),
        (["copy", "cluster/dmo"], "unknown cluster 'dmo' (did you mean 'demo'"),
        (["copy", "jetson_nano"], "say GROUP/NAME, got 'jetson_nano' (did you mean device/jetson_nano?)"),
        (["copy", "cluster"], "say GROUP/NAME, got 'cluster'"),
        (["copy", "cluster/demo", "--name", "nanos"], "we have a cluster 'nanos' ourselves"),
        (["copy", "cluster/demo", "--name", "../demo"], "--name takes letters, digits, _ and -, got '../demo'"),
        (["list", "modle"], "unknown group 'modle' (did you mean 'model'?"),
    ],
)
def test_a_mistake_is_one_sentence(
    words: list[str], named: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert conf(words) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {named}")
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_copy_says_all_that_the_file_says_remarks_too() -> None:
    """But for its paths, and for a study's name."""
    for file in sorted(CONF.glob("*/*.yaml")):
        text, copy = file.read_text(), copy_of(file, group=file.parent.name, name="mine")
        other = [(a, b) for a, b in zip(text.splitlines(), copy.splitlines(), strict=True) if a != b]
        assert all(str(CODE) in b or b.strip() == "name: mine" for _, b in other), file
        cfg = OmegaConf.create(copy)
        assert cfg.keys() == OmegaConf.load(file).keys()
