"""What is there to ask about Python's own sources? Which halves of functions, and which functions, belong together.

    halves        does the second half of a function belong to the first? A wrong one is of the same file.
    same_module   are two functions of the same file? A related question, to train a model on before.

Both have as many right pairs as wrong ones, and ask about other files than they teach. All is drawn by a seed from
files that every installation of this version of Python has.
"""

import ast
import sysconfig
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from real_runtime.data.tasks.examples import Example, Score, Task

QUESTIONS = ("halves", "same_module")
_LEAST_STATEMENTS, _MOST_CHARACTERS = 4, 2000
_FEWEST_IN_FILE = 4
_DEV_EVERY = 5  # every fifth file is asked about
_FILES = 150
_LEFT_OUT = ("test", "idlelib", "lib2to3", "turtledemo", "site-packages", "encodings", "__pycache__")


class Function(NamedTuple):
    """The text of a function, and of its two halves."""

    text: str
    first: str
    second: str


def functions_task(
    name: str, *, folder: str | None = None, seed: int = 0, most_files: int = _FILES, dev_every: int = _DEV_EVERY
) -> Task:
    """Return one of the questions, about a folder's files or Python's own. Raises ValueError for too few.

    Files are the first so many that have functions enough; one in ``dev_every`` is asked about.
    """
    place = Path(folder or sysconfig.get_paths()["stdlib"])
    files = _functions_of(place, most_files)
    if len(files) < 2:
        raise ValueError(f"{place}: task {name} needs two files with {_FEWEST_IN_FILE} functions, and has {len(files)}")
    random = np.random.default_rng([seed, QUESTIONS.index(name)])
    every = min(dev_every, len(files))
    parts = ([functions for i, functions in enumerate(files) if (i % every == 0) == asked] for asked in (False, True))
    asking = _halves if name == "halves" else _same_module
    train, dev = (_shuffled(list(asking(part, random)), random) for part in parts)
    return Task(
        name=name,
        train=train,
        dev=dev,
        answers=("no", "yes"),
        scores=(Score.ACCURACY, Score.F1),
        keeps_end=name == "halves",
    )


def _halves(files: Sequence[Sequence[Function]], random: np.random.Generator) -> Iterator[Example]:
    """Of each file half of the functions as they are; the second halves of the others go around."""
    for functions in files:
        order = random.permutation(len(functions))
        right, wrong = np.array_split(order, 2)
        wrong = wrong[: len(right)]
        for i in right[: len(wrong)]:
            yield Example(first=functions[i].first, second=functions[i].second, answer=1)
        for i, other in zip(wrong, np.roll(wrong, 1), strict=True):
            yield Example(first=functions[i].first, second=functions[other].second, answer=0)


def _same_module(files: Sequence[Sequence[Function]], random: np.random.Generator) -> Iterator[Example]:
    """Each function with another one of its file, and with one of another file."""
    for number, functions in enumerate(files):
        order = random.permutation(len(functions))
        for i, other in zip(order, np.roll(order, 1), strict=True):
            yield Example(first=functions[i].text, second=functions[other].text, answer=1)
            if len(files) > 1:
                far = files[(number + 1 + int(random.integers(len(files) - 1))) % len(files)]
                yield Example(first=functions[i].text, second=far[int(random.integers(len(far)))].text, answer=0)


def _shuffled(examples: list[Example], random: np.random.Generator) -> tuple[Example, ...]:
    return tuple(examples[i] for i in random.permutation(len(examples)))


@lru_cache(maxsize=2)
def _functions_of(place: Path, most_files: int) -> tuple[tuple[Function, ...], ...]:
    """[file] Its functions, of the first files that have some."""
    files = sorted(path for path in place.rglob("*.py") if not set(_LEFT_OUT) & set(path.relative_to(place).parts[:-1]))
    found: list[tuple[Function, ...]] = []
    for path in files:
        if len(functions := tuple(_functions(path))) >= _FEWEST_IN_FILE:
            found.append(functions)
        if len(found) == most_files:
            break
    return tuple(found)


def _functions(path: Path) -> Iterator[Function]:
    """Functions with enough statements, in the order of the file, each text once."""
    try:
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return  # a template, or in another encoding
    lines, seen = source.splitlines(keepends=True), set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or len(node.body) < _LEAST_STATEMENTS:
            continue
        start, cut, stop = node.lineno - 1, node.body[len(node.body) // 2].lineno - 1, node.end_lineno
        first, second = "".join(lines[start:cut]), "".join(lines[cut:stop])
        if first and second and len(first) + len(second) <= _MOST_CHARACTERS and second not in seen:
            seen.add(second)
            yield Function(first + second, first, second)
