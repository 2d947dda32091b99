"""Which tasks of GLUE lie in a folder? MRPC, STS-B, SST-2 and QNLI, as TSV files as they were published.

A task's folder holds ``train.tsv`` and ``dev.tsv`` with a line of headings; fields are not quoted. Scores of STS-B,
from 0 to 5, are answered in steps of 0.2 (as T5 does, Raffel et al., 2020).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from real_runtime.data.tasks.examples import Example, Score, Task

_STEP, _MOST = 0.2, 5.0
_SCALE = tuple(round(_STEP * step, 1) for step in range(round(_MOST / _STEP) + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """A task's folder, its scores, the headings of its columns, and which of them hold what."""

    folder: str
    headings: tuple[str, ...]
    first: str
    second: str
    answer: str
    answers: tuple[str, ...]  # empty: a number on the scale
    scores: tuple[Score, ...]


_BINARY = ("0", "1")
_FORMS = {
    "mrpc": _Form(
        folder="MRPC",
        headings=("Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"),
        first="#1 String",
        second="#2 String",
        answer="Quality",
        answers=_BINARY,
        scores=(Score.F1, Score.ACCURACY),
    ),
    "sts_b": _Form(
        folder="STS-B",
        headings=(
            *("index", "genre", "filename", "year", "old_index", "source1", "source2"),
            *("sentence1", "sentence2", "score"),
        ),
        first="sentence1",
        second="sentence2",
        answer="score",
        answers=(),
        scores=(Score.PEARSON,),
    ),
    "sst_2": _Form(
        folder="SST-2",
        headings=("sentence", "label"),
        first="sentence",
        second="",
        answer="label",
        answers=_BINARY,
        scores=(Score.ACCURACY,),
    ),
    "qnli": _Form(
        folder="QNLI",
        headings=("index", "question", "sentence", "label"),
        first="question",
        second="sentence",
        answer="label",
        answers=("not_entailment", "entailment"),
        scores=(Score.ACCURACY,),
    ),
}
GLUE = tuple(_FORMS)
"""The tasks' names."""


def glue(folder: str | Path, name: str) -> Task:
    """Read a task of a folder that holds a folder for each.

    Raises ValueError where the task is not there, naming what is, and for a bad line, naming file and line.
    """
    form, place = _FORMS[name], Path(folder)
    files = [place / form.folder / f"{part}.tsv" for part in ("train", "dev")]
    if lacking := [str(file) for file in files if not file.is_file()]:
        there = sorted(each.name for each in place.iterdir() if each.is_dir()) if place.is_dir() else []
        held = f"holds {', '.join(there)}" if there else "holds no folders" if place.is_dir() else "is no folder"
        raise ValueError(f"task {name} needs {' and '.join(lacking)}, and {place} {held} (set data.folder)")
    train, dev = (tuple(_examples(file, form)) for file in files)
    return Task(
        name=name,
        train=train,
        dev=dev,
        answers=form.answers or tuple(f"{value:.1f}" for value in _SCALE),
        values=() if form.answers else _SCALE,
        scores=form.scores,
    )


def _examples(file: Path, form: _Form) -> Iterator[Example]:
    lines = _lines(file)
    headings = tuple(next(lines, (0, ""))[1].split("\t"))
    if headings != form.headings:
        raise ValueError(
            f"{file}, line 1: the headings are {', '.join(headings)}, those of {form.folder} are "
            f"{', '.join(form.headings)}"
        )
    for number, line in lines:
        fields = line.split("\t")
        if len(fields) != len(headings):
            raise ValueError(f"{file}, line {number}: has {len(fields)} fields, {form.folder} has {len(headings)}")
        row = dict(zip(headings, fields, strict=True))
        yield Example(
            first=row[form.first],
            second=row[form.second] if form.second else "",
            answer=_answer(row[form.answer], form, f"{file}, line {number}"),
        )


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """Lines that are not empty, and their numbers. Only a line feed ends one: texts hold other separators."""
    for number, line in enumerate(file.read_bytes().split(b"\n"), start=1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r")
        except UnicodeDecodeError as error:
            raise ValueError(f"{file}, line {number}: is no UTF-8 ({error.reason} at byte {error.start})") from error
        if text:
            yield number, text


def _answer(said: str, form: _Form, where: str) -> int:
    if form.answers:
        if said not in form.answers:
            raise ValueError(f"{where}: label {said!r} is none of {', '.join(form.answers)}")
        return form.answers.index(said)
    try:
        value = float(said)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= _MOST:
        raise ValueError(f"{where}: {form.answer} {said!r} is no number from 0 to {_MOST:g}")
    return round(value / _STEP)
