"""What does ``edgesim COMMAND ...`` do? It starts the module of that name, as if by ``python -m``, from any folder.

A user's own folders experiments/, conf/ or results/ are never taken for ours, neither here nor in any process that a
command starts: Python looks for modules where they are installed first, and last where the user stands.
"""

import os
import sys
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec

from experiments.commands import COMMANDS, NAME, SWEEP, Command, ending_in_words, reader_may_leave
from experiments.configuration.places import import_from_here_last


def main() -> int:
    """Start what the first word names; 2 for a mistake, 130 and 143 where Ctrl-C or SIGTERM came first."""
    with reader_may_leave(), ending_in_words():
        return _main()


def _main() -> int:
    words = sys.argv[1:]
    os.environ["PYTHONSAFEPATH"] = "1"  # no process that we start looks for modules where the user stands first
    import_from_here_last()
    if words and words[0] in ("-sc", "--shell-completion"):
        import_module("experiments.console.completion").main(words[1:])
        return 0
    if words and words[0] in ("-V", "--version"):
        print(NAME, version(NAME))
        return 0
    if not words or words[0] in ("-h", "--help"):
        print(import_module("experiments.console.overview").overview())
        return 0 if words else 2
    known = {command.name: command for command in COMMANDS}
    if (command := known.get(words[0])) is None:
        suggestion = import_module("experiments.configuration.suggestions").suggestion
        print(f"error: unknown command {words[0]!r}{suggestion(words[0], known)}", file=sys.stderr)
        return 2
    return start(command, words[1:])


def start(command: Command, words: list[str]) -> int:
    """Import a command's module and start it with these words; 2 where its installation lacks something."""
    sys.argv[1:] = ["-m", *words] if command.name == SWEEP else words
    try:
        spec = find_spec(command.module)
        is_folder = spec is not None and spec.submodule_search_locations is not None
        module = import_module(f"{command.module}.__main__" if is_folder else command.module)
    except ModuleNotFoundError as error:
        missing = import_module("edgesim.front_door").missing
        print(f"error: {missing(error, f'{NAME} {command.name}')}", file=sys.stderr)
        return 2
    # The runtime knows nothing of this command, and so is told by what name it was called.
    return int((module.main(f"{NAME} {command.name}") if command.name == "trace" else module.main()) or 0)


if __name__ == "__main__":
    sys.exit(main())
