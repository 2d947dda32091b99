"""Which configuration files are there, where, and how do I take one to edit?

    edgesim conf where
    edgesim conf list                        # all groups
    edgesim conf list device                 # the files of one, with their first lines
    edgesim conf copy cluster/demo           # -> my_conf/cluster/my_demo.yaml, and the command that uses it
    edgesim conf copy device/jetson_nano boards --name nano_with_fan

A copy has a name of its own: of two files with one name ours is taken. Its relative paths are written in full, so that
they lead where they led. Nothing is overwritten.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.commands import NAME, as_typed, command_parser
from experiments.configuration.places import CODE, CONF, KEPT, REPOSITORY
from experiments.configuration.suggestions import suggestion
from experiments.console.overview import choices, groups_of_conf

# Commands that take a study by its name; all others are sweeps.
_STUDIES = {"demo": "demo", "validation": "validate", "planner_regret": "regret", "job_validation": "validate-jobs"}


def main(words: Sequence[str] | None = None) -> int:
    """Do one of them; 2 for a mistake."""
    parser = command_parser("experiments.console.conf", __doc__)
    does = parser.add_subparsers(dest="does", required=True, metavar="where | list | copy")
    does.add_parser("where", help="folders of configuration files and kept results")
    listing = does.add_parser("list", help="groups, or the files of one")
    listing.add_argument("group", nargs="?", metavar="GROUP")
    copying = does.add_parser("copy", help="take a file to edit")
    copying.add_argument("file", metavar="GROUP/NAME")
    copying.add_argument("to", nargs="?", type=Path, default=Path("my_conf"), metavar="TO", help="folder (my_conf)")
    copying.add_argument("--name", help="of the copy (default: my_NAME)")
    asked = parser.parse_args(words)
    try:
        print("\n".join({"where": _where, "list": _listed, "copy": _copied}[asked.does](asked)))
    except (ValueError, OSError) as error:
        print(f"error: {as_typed(str(error))}", file=sys.stderr)
        return 2
    return 0


def _where(asked: argparse.Namespace) -> list[str]:
    repository = REPOSITORY or "none: this copy was installed, or exported"
    places = {"code": CODE, "configuration files": CONF, "kept results": KEPT, "repository": repository}
    return [f"{name:<20}  {place}" for name, place in places.items()]


def _listed(asked: argparse.Namespace) -> list[str]:
    if asked.group is None:
        return [f"{group:<10}  {', '.join(choices(group))}" for group in groups_of_conf()]
    names = choices(_known(asked.group, groups_of_conf(), "group"))
    width = max(map(len, names))
    return [f"{name:<{width}}  {_first_line(CONF / asked.group / f'{name}.yaml')}" for name in names]


def _first_line(file: Path) -> str:
    """What a file says of itself first."""
    remarks = [line.lstrip("# ") for line in file.read_text().splitlines() if line.startswith("#")]
    return next((remark for remark in remarks if not remark.startswith("@package")), "")


def _copied(asked: argparse.Namespace) -> list[str]:
    group, _, name = asked.file.removesuffix(".yaml").partition("/")
    if not name:
        holding = [f"{each}/{group}" for each in groups_of_conf() if group in choices(each)]
        way_out = f" (did you mean {' or '.join(holding)}?)" if holding else suggestion(group, groups_of_conf())
        raise ValueError(f"say GROUP/NAME, got {asked.file!r}{way_out}")
    _known(name, choices(_known(group, groups_of_conf(), "group")), group)
    new = asked.name or f"my_{name}"
    if not re.fullmatch(r"[\w-]+", new):
        raise ValueError(f"--name takes letters, digits, _ and -, got {new!r}")
    if new in choices(group):
        raise ValueError(f"we have a {group} {new!r} ourselves, which would be taken instead (give another --name)")
    target = asked.to / group / f"{new}.yaml"
    if target.exists():
        raise ValueError(f"{target} is there already (remove it, or give another --name)")
    from experiments.configuration.result_folders import write_text  # composing a configuration takes its time to load
    from experiments.configuration.yaml_files.copies import copy_of

    write_text(target, copy_of(CONF / group / f"{name}.yaml", group=group, name=new))
    return [f"{target}: edit it, then", f"  {_use(group, name, new, asked.to)}"]


def _use(group: str, old: str, new: str, folder: Path) -> str:
    """The command that takes a copy."""
    if group == "experiment":
        return f"{NAME} {_STUDIES.get(old, 'sweep')} --config-dir {folder} experiment={new}"
    choice = (
        f"device@devices.fast={new}  # or another of the cluster's devices" if group == "device" else f"{group}={new}"
    )
    return f"{NAME} run --config-dir {folder} {choice}"


def _known(name: str, known: Sequence[str], what: str) -> str:
    if name not in known:
        raise ValueError(f"unknown {what} {name!r}{suggestion(name, known)}")
    return name


if __name__ == "__main__":
    sys.exit(main())
