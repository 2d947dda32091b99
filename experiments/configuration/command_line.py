"""How does a command line become a task's configuration, and a mistake one clear sentence?"""

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, wraps
from pathlib import Path

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, InstantiationException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import (
    GrammarParseError,
    InterpolationKeyError,
    InterpolationResolutionError,
    OmegaConfBaseException,
    UnsupportedInterpolationType,
)
from yaml import MarkedYAMLError, YAMLError

import edgesim
from edgesim.errors import EdgesimError
from edgesim.own_code import users_mistake
from experiments.commands import as_typed, ending_in_words, interruption_behind, nobody_reads, reader_may_leave
from experiments.configuration.checks import check_values, read_si
from experiments.configuration.places import CONF
from experiments.configuration.result_folders import refuse_unwritable
from experiments.configuration.suggestions import suggestion
from experiments.configuration.yaml_files.relative_paths import read_files_so

read_files_so()

# The one place where human units of a configuration are read.
OmegaConf.register_new_resolver("si", read_si, replace=True)

DECLARES = "declares"  # what a planner's file says for lists of planners; no run depends on it
Command = Callable[[DictConfig], object]
# Mistakes that a user can mend.
USERS = (EdgesimError, ValueError, OSError, HydraException, OmegaConfBaseException, YAMLError)
_SAY_WHERE = (EdgesimError, HydraException, OmegaConfBaseException, YAMLError)  # also where a user's code raises them


def run_command(command: Command, *, about: str | None, experiment: str | None = None) -> None:
    """Compose the command line and run; a user's mistake ends in one sentence on stderr and exit code 2.

    ``about`` heads ``--help``; ``experiment`` is what the command takes from conf/experiment unless told another.
    """
    with reader_may_leave():
        _run_command(command, about, experiment)


def _run_command(command: Command, about: str | None, experiment: str | None) -> None:
    if {"--help", "-h"} & set(sys.argv[1:]):
        print(as_typed(about or ""))
    if experiment and not any(word.lstrip("+~").startswith("experiment=") for word in sys.argv[1:]):
        sys.argv.insert(1, f"experiment={experiment}")
    sys.argv[1:] = _meant(sys.argv[1:])
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands its errors on instead of printing them
    mistakes: list[Exception] = []

    @wraps(command)
    def guarded(cfg: DictConfig) -> object:
        try:
            _complete(cfg, [each.path for each in HydraConfig.get().runtime.config_sources if each.schema == "file"])
            check_complete(cfg)
            check_values(cfg)
            refuse_unwritable(Path(cfg.results))
            return command(cfg)
        except Exception as error:  # kept from Hydra, which would print a traceback
            if (interruption := interruption_behind(error)) is not None:
                raise interruption from None
            if not is_users(error):
                raise
            mistakes.append(error)
        return None

    try:
        with ending_in_words():
            refuse_words(sys.argv[1:])
            hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(guarded)()
    except USERS as error:
        if not is_users(error):
            raise
        mistakes.append(error)
    for mistake in mistakes:
        print(f"error: {sentence(mistake)}", file=sys.stderr)
    if mistakes:
        sys.exit(2)


def told(command: Callable[[], int]) -> int:
    """The exit code of what a command without Hydra does; a user's mistake ends in one sentence on stderr, and 2."""
    try:
        with reader_may_leave(), ending_in_words():
            return command()
    except Exception as error:
        if not is_users(error):
            raise
        print(f"error: {sentence(error)}", file=sys.stderr)
        return 2


def is_users(error: Exception) -> bool:
    """Whether a user can mend it: it is told in words, or comes out of the user's own code. Others are bugs of ours."""
    if isinstance(error, BrokenPipeError) and nobody_reads():
        return False  # nobody is left to be told
    return isinstance(error, USERS) or users_mistake(error) is not None


def check_complete(cfg: DictConfig) -> None:
    """Raise ValueError if a value must be given and is not."""
    for key in sorted(OmegaConf.missing_keys(cfg)):
        raise ValueError(f"{key} has no value (give it one: {key}=...)")


def composed(*overrides: str, folders: Sequence[str] = ()) -> DictConfig:
    """The configuration of these overrides, without a command line; ``folders`` hold further configuration files."""
    cfg = _composed(overrides, folders, hydra_too=False)
    check_values(cfg)
    return cfg


def hydra_choice(group: str, *overrides: str, folders: Sequence[str] = ()) -> str:
    """Which file of a group, also of Hydra's own, these overrides choose."""
    return str(_composed(overrides, folders, hydra_too=True).hydra.runtime.choices[group])


def hydra_folder(*overrides: str, folders: Sequence[str] = ()) -> Path:
    """Where Hydra's own sweepers write what they found."""
    return Path(_composed(overrides, folders, hydra_too=True).hydra.sweep.dir)


def _composed(overrides: Sequence[str], folders: Sequence[str], *, hydra_too: bool) -> DictConfig:
    GlobalHydra.instance().clear()
    paths = [f"hydra.searchpath=[{','.join(f'file://{Path(folder).resolve()}' for folder in folders)}]"]
    refuse_words(overrides, folders)
    chosen = [*(paths if folders else ()), *_meant(overrides)]
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        cfg = compose("config", overrides=chosen, return_hydra_config=hydra_too)
    return _complete(cfg, folders)


def refuse_words(words: Iterable[str], folders: Iterable[str] = ()) -> None:
    """Raise ValueError for what Hydra explains in its own terms: places in a list as keys, files without a name."""
    for word in words:
        if (entry := re.match(r"~(?P<list>[^=]*?)\.\d+(\.|=|$)", word)) is not None:
            raise ValueError(f"cannot delete within a list: {word!r} (write the list anew: '{entry['list']}=[...]')")
        choice = re.fullmatch(r"\+{0,2}(?P<key>(?P<group>[\w/]+)(@[\w.:]*)?)=(?P<value>.*)", word)
        if choice and any(Path(folder, choice["group"]).is_dir() for folder in (CONF, *folders)):
            _refuse_no_name(OverridesParser.create().parse_override(word), choice["key"], choice["value"])


def _refuse_no_name(choice: Override, key: str, written: str) -> None:
    if not choice.is_sweep_override() and not isinstance(choice.value(), str | list | dict):
        names = [path.stem for path in (CONF / key.partition("@")[0]).glob("*.yaml")]
        raise ValueError(f"{key}: expected the name of a file, got {written}{suggestion(written, names)}")


def _meant(words: Sequence[str]) -> list[str]:
    """The words, ``+job=NAME`` as ``job=NAME``, and what ``model.from=PATH`` means by itself.

    That chooses conf/model/hugging_face.yaml, unless another file is chosen; and since which arguments that model has
    its configuration says, and not this file, each is an override that may be new.
    """
    words = [word.removeprefix("+") if word.startswith("+job=") else word for word in words]
    if not any(word.startswith("model.from=") for word in words):
        return words
    chosen = any(word.startswith("model=") for word in words)
    new = [re.sub(r"^(?=model\.(?!from=|name=|_target_=)\w+=)", "++", word) for word in words]
    return new if chosen else ["model=hugging_face", *new]


def _complete(cfg: DictConfig, folders: Iterable[str | Path]) -> DictConfig:
    """Let a configuration say where it comes from; what planners declare is read from their files, not from a run."""
    with open_dict(cfg):
        cfg.config_dirs = [str(folder) for folder in map(Path, folders) if folder.resolve() != CONF]
        if OmegaConf.is_dict(cfg.get("planner")):
            cfg.planner.pop(DECLARES, None)
    return cfg


def sentence(error: BaseException) -> str:
    """What went wrong, in one sentence that names the thing, the value and the way out."""
    return as_typed(_sentence(error))


def _sentence(error: BaseException) -> str:
    if not isinstance(error, _SAY_WHERE) and (mistake := users_mistake(error)) is not None:
        return mistake
    if isinstance(error, MissingConfigException):
        group, _, name = (error.missing_cfg_file or "").rpartition("/")
        there = error.options or [path.stem for path in (CONF / group).glob("*.yaml")]
        return f"unknown {group} {name!r}{suggestion(name, there)}{_elsewhere(name, group)}"
    if isinstance(error, OverrideParseException):
        return f"cannot read the override {error.override!r} (write KEY=VALUE{_quoted(error.override or '')})"
    if isinstance(error, InterpolationKeyError) and (key := re.search(r"Interpolation key '([^']+)'", str(error))):
        return f"${{{key[1]}}} names nothing{suggestion(key[1], _keys())}" + _place(error)
    if isinstance(error, InterpolationResolutionError | GrammarParseError | UnsupportedInterpolationType):
        return _of_interpolation(error) + _place(error)
    if isinstance(error, InstantiationException | OmegaConfBaseException) and error.__cause__ is not None:
        return sentence(error.__cause__) + _place(error)
    if isinstance(error.__cause__, GrammarParseError):
        return _sentence(error.__cause__)
    if (key := re.search(r"Could not override '([^']+)'", str(error))) is not None:
        if key[1] in _keys():
            return f"{key[1]} cannot be set to that: {_one_line(str(error.__cause__ or error))}"
        return f"unknown override {key[1]!r}{suggestion(key[1], _keys())}"
    if str(error).startswith("Config group override must be"):
        return "a file is chosen by its name (write GROUP=NAME)"
    if (value := re.fullmatch(r"(?P<value>'.*') is not a valid (?P<noun>\w+)", str(error))) is not None:
        return _unknown_value(value["value"], value["noun"])
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{mark.name} is no YAML: line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    if isinstance(error, FileNotFoundError):
        return f"no such file: {error.filename}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return _one_line(str(error)) or type(error).__name__


def _quoted(word: str) -> str:
    """How to keep a value together that a shell took apart at its spaces."""
    words = sys.argv[1:]
    before = words[words.index(word) - 1] if word in words[1:] else ""
    if "=" in before:
        return f', and a value with spaces in quotes: "{before} {word}"'
    return ", in quotes if it has brackets or spaces"


def _elsewhere(name: str, group: str) -> str:
    """Whether another group has this name: ``; 'jetson_nano' is a device``."""
    others = sorted(path.parent.name for path in CONF.glob(f"*/{name}.yaml")) if re.fullmatch(r"[\w-]+", name) else []
    return f"; {name!r} is a {' and a '.join(others)}" if others and group not in others else ""


def _of_interpolation(error: OmegaConfBaseException) -> str:
    """What is wrong with a ``${...}``, without the terms of its grammar."""
    said = re.sub(r"^(?P<kind>\w+) raised while resolving interpolation: ", "", _one_line(str(error)))
    if isinstance(error, GrammarParseError):
        quoted = re.search(r"at input '(.*)'", said)
        return f"cannot read {quoted[1]!r} (write ${{KEY}})" if quoted else "cannot read a ${...} (write ${KEY})"
    if isinstance(error, UnsupportedInterpolationType):
        name = said.rpartition(" ")[2]
        return f"${{{name}:...}} names nothing (write ${{KEY}} for a value, ${{si:KEY}} for a quantity in SI)"
    if variable := re.search(r"Environment variable '(.+)' not found", said):
        return f"environment variable {variable[1]} is not set (set it, or write ${{oc.env:{variable[1]},DEFAULT}})"
    if said.startswith("Recursive interpolation"):
        return "a ${...} leads back to itself (write a value)"
    if "positional argument" in said:
        return "a ${...:...} lacks what it is asked for (write ${si:KEY} for a quantity in SI)"
    return said


def _unknown_value(value: str, noun: str) -> str:
    """For the enumerations of the library: Depth, Optimiser, Origin ..."""
    return f"unknown {noun.lower()} {value}{suggestion(value.strip(chr(39)), getattr(edgesim, noun, ()))}"


def _place(error: BaseException) -> str:
    """Where in the configuration, if the error says."""
    key = re.search(r"full_key: *([\w.\[\]]+)", str(error))
    return f" [in {key[1]}]" if key else ""


def _one_line(text: str) -> str:
    """Hydra explains over several lines; ours are single already."""
    kept = [
        line.strip()
        for line in text.splitlines()
        if line.strip() and not re.match(r"\s*(full_key|object_type):?", line)
    ]
    return "; ".join(kept)


@cache
def _keys() -> list[str]:
    """Everything that an override can name: the default configuration's keys."""
    return ["experiment", *_paths(OmegaConf.to_container(composed(), resolve=False))]


def _paths(node: object, prefix: str = "") -> Iterator[str]:
    for key, value in node.items() if isinstance(node, dict) else ():
        yield f"{prefix}{key}"
        yield from _paths(value, f"{prefix}{key}.")
