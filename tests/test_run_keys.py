"""Is a run known by what the files that it reads say, wherever they lie?"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.configuration.places import CODE
from experiments.sweeps.grid import Composer, Sweep
from experiments.sweeps.run_key import key

FIELDS = json.loads((CODE / "tests" / "configs" / "bert-base.json").read_text())


def key_of(*words: str, folders: tuple[str, ...] = ()) -> str:
    return key(Composer(Sweep((), (), folders))(words))


def profile(folder: Path, change: str) -> str:
    file = folder / "profile.json"
    file.write_text('{"model": "x", "points": []}' + change)
    return f"profile.path={file}"


def configuration(folder: Path, change: str) -> str:
    file = folder / "mine.json"
    file.write_text(json.dumps(FIELDS) + change)
    return f"model.from={file}"


def checkpoint(folder: Path, change: str) -> str:
    (folder / "weights").mkdir(exist_ok=True)
    (folder / "weights" / "config.json").write_text("{}")
    (folder / "weights" / "model.safetensors").write_text("weights" + change)
    (folder / "weights" / "README.md").write_text(f"in {folder}")
    return f"checkpoint={folder / 'weights'}"


def text(folder: Path, change: str) -> str:
    (folder / "text" / "more").mkdir(parents=True, exist_ok=True)
    (folder / "text" / "more" / "page.md").write_text("some text" + change)
    (folder / "text" / "picture.png").write_text(f"in {folder}")
    return f"data.folder={folder / 'text'}"


GIVEN: dict[str, tuple[Callable[[Path, str], str], tuple[str, ...]]] = {
    "profile": (profile, ("profile=measured",)),
    "configuration": (configuration, ("model=hugging_face",)),
    "checkpoint": (checkpoint, ("execute=true",)),
    "text": (text, ("execute=true",)),
}


@pytest.mark.parametrize("kind", GIVEN)
def test_a_file_that_moved_is_the_same_and_one_that_changed_is_another(tmp_path: Path, kind: str) -> None:
    write, words = GIVEN[kind]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = key_of(*words, write(tmp_path / "a", ""))
    assert key_of(*words, write(tmp_path / "b", "")) == first
    assert key_of(*words, write(tmp_path / "a", "\n")) != first
    assert key_of(*words, write(tmp_path / "a", "")) == first


def test_weights_and_text_matter_only_to_a_run_that_is_executed(tmp_path: Path) -> None:
    words = (checkpoint(tmp_path, ""), text(tmp_path, ""))
    assert key_of(*words) == key_of()
    assert len({key_of("execute=true"), *(key_of("execute=true", word) for word in words)}) == 3


def test_a_folder_of_weights_or_text_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        key_of("execute=true", f"checkpoint={tmp_path / 'nowhere'}")
    with pytest.raises(ValueError, match=r"nowhere: holds no \*\.py"):
        key_of("execute=true", f"data.folder={tmp_path / 'nowhere'}")


def test_a_configuration_under_another_name_is_another_model(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(FIELDS))
    one, two = (key_of("model=hugging_face", f"model.from={tmp_path / name}") for name in ("one", "two"))
    assert one != two
    assert key_of("model=hugging_face", f"model.from={tmp_path / 'one' / 'config.json'}") == one


def test_a_users_own_planner_counts_by_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "planner").mkdir()
    (tmp_path / "planner" / "mine.yaml").write_text("_target_: planner_of_mine.plan\n_partial_: true\n")
    module = tmp_path / "planner_of_mine.py"
    keys = []
    for text in ("def plan(problem):\n    return 1\n", "def plan(problem):\n    return 2\n"):
        module.write_text(text)
        keys.append(key_of("planner=mine", folders=(str(tmp_path),)))
    assert keys[0] != keys[1]
    module.write_text("def plan(problem):\n    return 1\n")
    assert key_of("planner=mine", folders=(str(tmp_path),)) == keys[0]
