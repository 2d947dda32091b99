"""What may come next on the command line? Commands, and for those that take overrides what Hydra knows of its groups.

    eval "$(edgesim -sc install=bash)"    # in ~/.bashrc; uninstall=bash takes it back

The shell hands over the line that was typed so far; the answer is a line for each way to go on with its last word.
"""

import os
import sys
from pathlib import Path

from experiments.commands import COMMANDS, NAME
from experiments.configuration.places import CONF
from experiments.console.overview import choices, groups_of_conf

# Words break at blanks only, so that KEY=VALUE is one. Where nothing is known the shell completes names of files.
_INSTALL = f"""_{NAME}_completion()
{{
    local IFS=$'\\n'
    COMPREPLY=($(COMP_LINE="$COMP_LINE" COMP_POINT="$COMP_POINT" {NAME} -sc query=bash 2>/dev/null))
}}
COMP_WORDBREAKS=${{COMP_WORDBREAKS//=}}
complete -o nospace -o default -F _{NAME}_completion {NAME}"""
_UNINSTALL = f"complete -r {NAME}; unset -f _{NAME}_completion"


def main(words: list[str]) -> None:
    """Answer ``install=bash``, ``uninstall=bash`` or ``query=bash``; exit code 2 for anything else."""
    match words:
        case ["install=bash"]:
            print(_INSTALL)
        case ["uninstall=bash"]:
            print(_UNINSTALL)
        case ["query=bash"]:
            line = os.environ.get("COMP_LINE", "")
            point = int(os.environ.get("COMP_POINT") or len(line))
            print("\n".join(map(_quoted, ways_on(line[:point]))))
        case _:
            print(
                f"error: -sc takes install=bash, uninstall=bash or query=bash, got {' '.join(words)!r} "
                "(zsh takes bash's after: autoload -U +X bashcompinit && bashcompinit; fish has none)",
                file=sys.stderr,
            )
            sys.exit(2)


def _quoted(word: str) -> str:
    """As the shell wants it: blanks within a word escaped, one behind it ends the word."""
    return word.rstrip().replace(" ", "\\ ") + " " * word.endswith(" ")


def ways_on(line: str) -> list[str]:
    """How the last word of a line may go on; a line that ends in a blank has an empty last word."""
    _, *words = line.split() or [NAME]
    *before, last = words if words and not line[-1].isspace() else [*words, ""]
    if not before:
        return [f"{command.name} " for command in COMMANDS if command.name.startswith(last)]
    name, *rest = before
    command = next((each for each in COMMANDS if each.name == name), None)
    if name == "conf":
        return _files(rest, last)
    return _overrides([*rest, last]) if command is not None and command.takes_overrides else []


def _files(before: list[str], last: str) -> list[str]:
    known = {
        (): ["where", "list ", "copy "],
        ("list",): groups_of_conf(),
        ("copy",): [f"{group}/{name}" for group in groups_of_conf() for name in choices(group)],
    }
    return [word for word in known.get(tuple(before), []) if word.startswith(last)]


def _overrides(words: list[str]) -> list[str]:
    """What Hydra's own completion says, of further folders of configuration files too."""
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.utils import create_config_search_path, get_args
    from hydra.core.config_search_path import SearchPathQuery
    from hydra.plugins.completion_plugin import DefaultCompletionPlugin

    import experiments.configuration.command_line  # noqa: F401  (registers what our files refer to)

    search_path = create_config_search_path(str(CONF))
    folder = get_args([word for word in words if word]).config_dir
    if folder and Path(folder).is_dir():
        search_path.prepend(
            "command-line", f"file://{Path(folder).absolute()}", anchor=SearchPathQuery(provider="schema")
        )
    found: list[str] = DefaultCompletionPlugin(ConfigLoaderImpl(search_path))._query("config", " ".join(words))
    return found
