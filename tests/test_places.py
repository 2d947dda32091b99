"""Are configuration files and kept results found in a checkout and in an installed copy, and where do paths lead?"""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from experiments.configuration import provenance, result_folders
from experiments.configuration.command_line import composed
from experiments.configuration.places import CODE, CONF, KEPT, REPOSITORY, places
from experiments.configuration.provenance import made, refuse_a_dirty_tree
from experiments.configuration.result_folders import versions
from experiments.configuration.yaml_files.relative_paths import PATHS, package_of, relative_paths
from experiments.sweeps.grid import parse


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's own folder of configuration files, mine/, and the user stands beside it."""
    monkeypatch.chdir(tmp_path)
    for group in ("profile", "experiment"):
        (tmp_path / "mine" / group).mkdir(parents=True)
    return tmp_path


def test_a_checkout_has_its_files_at_the_top() -> None:
    assert (places(CODE).conf, places(CODE).kept) == (CODE / "conf", CODE / "results") == (CONF, KEPT)
    assert (CODE if (CODE / ".git").exists() else None) == REPOSITORY


def test_an_installed_copy_has_its_files_beside_its_code_and_no_repository(tmp_path: Path) -> None:
    """Also where a folder conf/ of somebody else, and a repository, lie around it."""
    data = tmp_path / "experiments" / "_data"
    for other in (data, tmp_path / ".git", tmp_path / "conf"):
        other.mkdir(parents=True)
    found = places(tmp_path)
    assert (found.conf, found.kept, found.repository) == (data / "conf", data / "results", None)


def test_an_installed_copy_names_no_commit_and_keeps_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests stand in a repository, whose commit made nothing."""
    for module in (result_folders, provenance):
        monkeypatch.setattr(module, "REPOSITORY", None)
    assert (versions()["git_commit"], versions()["git_dirty"]) == (None, None)
    entry = made("a command")
    assert (entry["commit"], entry["tree"]) == (None, "not recorded")
    with pytest.raises(ValueError, match=r"no working tree of git.*from a clone"):
        refuse_a_dirty_tree()


def test_every_file_that_a_configuration_file_names_is_there() -> None:
    named = [
        file.parent / path
        for file in sorted(CONF.rglob("*.yaml"))
        for _, path in relative_paths(
            OmegaConf.load(file),
            "" if "@package _global_" in file.read_text() else ".".join(file.relative_to(CONF).parent.parts),
        )
    ]
    assert len(named) >= 15
    assert [path for path in named if not path.is_file()] == []
    assert all(path.resolve().is_relative_to(CONF.parent) for path in named)


@pytest.mark.parametrize("key", PATHS)
def test_every_key_that_names_a_path_is_found_in_its_groups_file_and_in_a_global_one(key: str) -> None:
    whole = key.replace("*", "event")
    group, rest = whole.split(".", 1) if "." in whole else ("", whole)
    for package, name in ((group, rest), ("", whole)):
        cfg = OmegaConf.create({})
        OmegaConf.update(cfg, name, "there/a.json")
        assert [path for _, path in relative_paths(cfg, package)] == ["there/a.json"], package
        for left_alone in ("/there/a.json", "${results}/a.json", "???", "", None):
            OmegaConf.update(cfg, name, left_alone)
            assert relative_paths(cfg, package) == []


def test_a_name_of_a_table_of_the_library_is_no_path() -> None:
    assert relative_paths(OmegaConf.create({"table": "resnet50"}), "model") == []


@pytest.mark.parametrize(
    ("package", "place"), [(None, "a.b"), ("_group_", "a.b"), ("_global_", ""), ("network", "network")]
)
def test_a_files_package_is_its_group_unless_it_says_otherwise(package: str | None, place: str) -> None:
    assert package_of({"package": package}, "a/b/file") == place


def test_a_path_in_a_file_starts_at_the_file_and_a_path_on_the_command_line_where_the_user_stands(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "mine" / "profile" / "own.yaml").write_text("defaults: [measured, _self_]\npath: ../times.json\n")
    own = ("profile=own",)
    assert composed(*own, folders=["mine"]).profile.path == "mine/times.json"
    assert composed(*own, "profile.path=times.json", folders=["mine"]).profile.path == "times.json"
    monkeypatch.chdir(folder / "mine" / "experiment")
    assert composed(*own, folders=["../../mine"]).profile.path == str(folder / "mine" / "times.json")


def test_our_own_files_name_theirs_wherever_the_user_stands(folder: Path) -> None:
    path = composed("profile=netns_demo").profile.path
    assert path == str(KEPT / "profiles" / "netns_100mbit.profile.json")


def test_paths_that_a_study_sweeps_over_start_at_its_file_too(folder: Path) -> None:
    study = """# @package _global_
study:
  name: own
  over:
    seed+profile.path: [[1, a.json], [2, /b.json]]
    network.calibrated: [c.json, null]
"""
    (folder / "mine" / "experiment" / "own.yaml").write_text(study)
    sweep = parse(["experiment=own"], ["mine"])
    assert [words for dimension in sweep.dimensions for words in dimension] == [
        ("seed=1", "profile.path=mine/experiment/a.json"),
        ("seed=2", "profile.path=/b.json"),
        ("network.calibrated=mine/experiment/c.json",),
        ("network.calibrated=null",),
    ]
