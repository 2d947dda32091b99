"""Which command made a kept table, from which commit, and had that commit's files been changed?

Beside kept tables lies made.json, with an entry for each file:

command    what to type to make the file again
commit     of the code that made it; of a table that was kept before this was recorded, the commit that kept it
tree       clean: the code was as committed; dirty: it was not; not recorded: nobody knows
date       of that day
versions   of Python and of the packages; none where they were not recorded
note       what was edited afterwards, where anything was
settings   what the command was told besides, where that matters
earlier    entries of what made the rows that this command left as they were

What lies in results/ is no code: a study that writes there while it runs does not make the tree dirty.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from experiments.configuration.places import CODE, REPOSITORY
from experiments.configuration.result_folders import entries_of, json_text, versions, write_text

MADE = "made.json"


class Tree(StrEnum):
    """Whether the code was as its commit says."""

    CLEAN = "clean"
    DIRTY = "dirty"
    NOT_RECORDED = "not recorded"
    EARLIER = "an earlier state of this commit's work"  # of tables whose own commit is no longer in the history


def command(module: str, arguments: Sequence[str] = ()) -> str:
    """The command line of a module of ours.

    >>> command("experiments.reproduce", ["scaling", "--keep"])
    'python -m experiments.reproduce scaling --keep'
    """
    return shlex.join(["python", "-m", module, *arguments])


def made(by: str, *, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The entry of a file that this process makes now, by this command."""
    packages = versions()
    commit, changed = packages.pop("git_commit"), packages.pop("git_dirty")
    entry: dict[str, Any] = {
        "command": by,
        "commit": commit,
        "tree": str(Tree.NOT_RECORDED if changed is None else Tree.DIRTY if changed else Tree.CLEAN),
        "date": datetime.now(UTC).date().isoformat(),
        "versions": packages,
    }
    return entry | ({"settings": dict(settings)} if settings else {})


def record(folder: Path, names: Iterable[str], entry: Mapping[str, Any], *, in_part: bool = False) -> None:
    """Say in the folder's made.json what made these files; what it says of others stays.

    A file that was made anew ``in_part`` keeps its former entries as ``earlier`` ones.
    """
    before = recorded(folder)
    entries = {name: dict(entry) | (_earlier(before[name]) if in_part and name in before else {}) for name in names}
    write_text(folder / MADE, json_text(dict(sorted((before | entries).items()))))


def _earlier(entry: Mapping[str, Any]) -> dict[str, Any]:
    last = {name: value for name, value in entry.items() if name != "earlier"}
    return {"earlier": [last, *entry.get("earlier", ())]}


def recorded(folder: Path) -> dict[str, dict[str, Any]]:
    """What is said of the files of a folder; nothing where nothing was recorded."""
    path = folder / MADE
    entries = entries_of(path, "record of what made tables", written_by="the commands that keep tables")
    for name, entry in entries.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("earlier", []), list):
            raise ValueError(f"{path} is no record of what made tables: {name!r} has no entry (move the file away)")
    return entries


def refuse_a_dirty_tree() -> None:
    """Raise ValueError if the code is not as committed: a table kept now would name a commit that did not make it.

    So it does without a repository, where a table could name none.
    """
    if REPOSITORY is None:
        raise ValueError(
            f"the code in {CODE} is no working tree of git, so that nobody could say which commit made the kept table "
            "(keep it from a clone of the repository; without --keep the numbers are compared all the same)"
        )
    if versions()["git_dirty"]:
        raise ValueError(
            "the code has changes that are not committed, so that nobody could say which commit made the kept table "
            "(commit or stash them, then keep; without --keep the numbers are compared all the same)"
        )
