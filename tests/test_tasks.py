"""Tasks are read as published or made of Python's own sources, asked as token ids, and scored as GLUE does."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from runtime_builders import BERT
from scipy.stats import pearsonr
from sklearn.metrics import accuracy_score, f1_score

from edgesim.workload import Optimiser, Purpose, Workload
from real_runtime.data import DataSpec, refuse_other_data
from real_runtime.data.samples import Source
from real_runtime.data.spec import MASK, PAD, SEPARATOR, TASKS
from real_runtime.data.tasks.examples import Example, Score, Task
from real_runtime.data.tasks.functions import QUESTIONS, functions_task
from real_runtime.data.tasks.glue import GLUE, glue
from real_runtime.data.tasks.scores import accuracy, f1, pearson, scored
from real_runtime.data.tasks.source import Answers, TaskSource
from real_runtime.data.tasks.tokens import ByteTokens, FolderTokens

repeatable = settings(max_examples=60, deadline=None, derandomize=True, database=None)
HEADINGS = {
    "MRPC": "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String",
    "STS-B": "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore",
    "SST-2": "sentence\tlabel",
    "QNLI": "index\tquestion\tsentence\tlabel",
}
LINES = {
    "MRPC": ['1\t7\t8\tHe said "no" .\tHe declined\x85 .', "0\t9\t10\tA\tB"],
    "STS-B": ["0\tnews\tf\t2012\t3\tn\tn\tA plane .\tAn air plane .\t4.750", "1\tn\tf\t2012\t4\tn\tn\tA\tB\t0.000"],
    "SST-2": ["a fine film \t1", "dull \t0"],
    "QNLI": ["0\tWho ?\tHe did .\tentailment", "1\tWhen ?\tNever .\tnot_entailment"],
}


def folder_of(place: Path, name: str, *, train: Sequence[str] | None = None, dev: Sequence[str] | None = None) -> Path:
    (place / name).mkdir(parents=True, exist_ok=True)
    for part, lines in (("train", train), ("dev", dev)):
        text = "\n".join([HEADINGS[name], *(LINES[name] if lines is None else lines), ""])
        (place / name / f"{part}.tsv").write_bytes(text.encode())
    return place


def a_task(*examples: Example, **more: object) -> Task:
    rest = {"name": "t", "dev": examples, "answers": ("no", "yes"), "scores": (Score.ACCURACY,)} | more
    return Task(train=examples, **rest)  # type: ignore[arg-type]


def asked(task: Task, *, length: int = 12, batch: int = 2, answers: Answers = Answers.HIDDEN) -> TaskSource:
    return TaskSource(task, ByteTokens(), length=length, batch_samples=batch, answers=answers)


PAIR = Example(first="ab", second="cd", answer=1)


# --- GLUE ---


@pytest.mark.parametrize(
    ("name", "folder", "first", "answers"),
    [
        ("mrpc", "MRPC", ('He said "no" .', "He declined\x85 .", 1), ("0", "1")),
        ("sts_b", "STS-B", ("A plane .", "An air plane .", 24), None),
        ("sst_2", "SST-2", ("a fine film ", "", 1), ("0", "1")),
        ("qnli", "QNLI", ("Who ?", "He did .", 1), ("not_entailment", "entailment")),
    ],
)
def test_a_task_of_glue_is_read_as_it_was_published(
    name: str, folder: str, first: tuple[str, str, int], answers: tuple[str, ...] | None, tmp_path: Path
) -> None:
    task = glue(folder_of(tmp_path, folder), name)
    assert task.train[0] == Example(first=first[0], second=first[1], answer=first[2])
    assert [example.answer for example in task.dev] == [first[2], 0]
    assert task.answers == (answers or tuple(f"{0.2 * step:.1f}" for step in range(26)))
    assert task.values == (() if answers else tuple(round(0.2 * step, 1) for step in range(26)))


def test_a_byte_order_mark_and_carriage_returns_are_no_part_of_a_text(tmp_path: Path) -> None:
    folder_of(tmp_path, "SST-2")
    text = "\ufeffsentence\tlabel\r\ngood \t1\r\n"
    (tmp_path / "SST-2" / "train.tsv").write_bytes(text.encode())
    assert glue(tmp_path, "sst_2").train == (Example(first="good ", answer=1),)


@pytest.mark.parametrize(
    ("name", "folder", "line", "said"),
    [
        ("mrpc", "MRPC", "1\t7\t8\tonly one", "has 4 fields, MRPC has 5"),
        ("sst_2", "SST-2", "good\t2", "label '2' is none of 0, 1"),
        ("qnli", "QNLI", "1\tWho ?\tHe .\tyes", "label 'yes' is none of not_entailment, entailment"),
        ("sts_b", "STS-B", "0\tn\tf\ty\t3\tn\tn\tA\tB\t5.1", "score '5.1' is no number from 0 to 5"),
        ("sts_b", "STS-B", "0\tn\tf\ty\t3\tn\tn\tA\tB\tmuch", "score 'much' is no number from 0 to 5"),
    ],
)
def test_a_bad_line_is_named_with_its_file_and_what_is_wrong(
    name: str, folder: str, line: str, said: str, tmp_path: Path
) -> None:
    folder_of(tmp_path, folder, dev=[LINES[folder][0], line])
    with pytest.raises(ValueError, match=rf"{folder}/dev\.tsv, line 3: {said}"):
        glue(tmp_path, name)


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    folder_of(tmp_path, "SST-2")
    (tmp_path / "SST-2" / "train.tsv").write_bytes(b"sentence\tlabel\nfine\t1\n\xff\xfe\t0\n")
    with pytest.raises(ValueError, match=r"train\.tsv, line 3: is no UTF-8"):
        glue(tmp_path, "sst_2")


def test_other_headings_are_refused(tmp_path: Path) -> None:
    folder_of(tmp_path, "SST-2")
    (tmp_path / "SST-2" / "train.tsv").write_text("text\tlabel\nfine\t1\n")
    with pytest.raises(ValueError, match="line 1: the headings are text, label, those of SST-2 are sentence, label"):
        glue(tmp_path, "sst_2")


def test_a_folder_without_the_task_is_refused_with_what_it_holds(tmp_path: Path) -> None:
    folder_of(tmp_path, "SST-2")
    with pytest.raises(ValueError, match=r"task mrpc needs .*MRPC/train\.tsv .* holds SST-2 \(set data\.folder\)"):
        glue(tmp_path, "mrpc")
    with pytest.raises(ValueError, match="is no folder"):
        glue(tmp_path / "nowhere", "mrpc")


def test_a_task_without_examples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="task sst_2 has no examples in dev"):
        glue(folder_of(tmp_path, "SST-2", dev=[]), "sst_2")


# --- questions about Python's sources ---


@pytest.mark.parametrize("name", QUESTIONS)
def test_questions_about_functions_are_balanced_repeatable_and_ask_about_other_files(name: str) -> None:
    task = functions_task(name)
    for part in (task.train, task.dev):
        assert len(part) > 200
        assert np.mean([example.answer for example in part]) == pytest.approx(0.5, abs=0.01)
    taught = {example.first for example in task.train}
    common = [example for example in task.dev if example.first in taught]
    assert len(common) < 0.02 * len(task.dev), "but for texts that several files have"
    assert functions_task(name) == task
    assert functions_task(name, seed=1) != task


def test_a_half_belongs_to_its_function_and_a_wrong_one_is_of_the_same_file(tmp_path: Path) -> None:
    for file in range(5):
        functions = [
            f"def f{file}_{i}():\n" + "".join(f"    s{file}_{i}_{k} = {k}\n" for k in range(4)) for i in range(6)
        ]
        (tmp_path / f"m{file}.py").write_text("\n".join(functions))
    task = functions_task("halves", folder=str(tmp_path))
    for example in (*task.train, *task.dev):
        own, other = example.first.split("(")[0].removeprefix("def f"), example.second.strip().split(" ")[0][1:-2]
        assert (own == other) == bool(example.answer)
        assert own[0] == other[0], "of the same file"
    assert {example.first[5] for example in task.dev} == {"0"}


def test_a_folder_with_too_few_functions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="task halves needs two files with 4 functions, and has 0"):
        functions_task("halves", folder=str(tmp_path))


# --- questions as token ids ---


def test_a_question_ends_where_it_is_answered() -> None:
    ids, labels = asked(a_task(PAIR), length=9, batch=1).batch(0, seed=0)
    assert ids.tolist() == [[PAD, PAD, PAD, *b"ab", SEPARATOR, *b"cd", MASK]]
    assert labels.tolist() == [[-100] * 8 + [ord("1")]]
    ids, labels = asked(a_task(PAIR), length=9, batch=1, answers=Answers.NEXT).batch(0, seed=0)
    assert (int(ids[0, -1]), int(labels[0, -1])) == (SEPARATOR, ord("1"))
    _, labels = asked(a_task(PAIR), length=9, batch=1, answers=Answers.DECODER).batch(0, seed=0)
    assert labels.tolist() == [[ord("1")]]


@given(first=st.text("x", max_size=20), second=st.text("y", max_size=20), length=st.integers(4, 16))
@repeatable
def test_a_question_that_is_too_long_loses_of_its_longer_text_first(first: str, second: str, length: int) -> None:
    (ids,), _ = asked(a_task(Example(first=first, second=second, answer=0)), length=length).train
    told = [each for each in ids.tolist() if each != PAD]
    kept = [told.count(ord(letter)) for letter in "xy"]
    room = length - 1 - bool(second)
    assert told[-1] == MASK
    assert sum(kept) == min(room, len(first) + len(second))
    for own, other, text in ((*kept, first), (*kept[::-1], second)):
        assert own == len(text) or own >= other - 1, "cut is only what is as long as the other"


def test_a_first_half_that_is_too_long_keeps_its_end() -> None:
    long = Example(first="abcdefgh", second="xy", answer=0)
    for keeps_end, kept in ((True, b"fgh"), (False, b"abc")):
        (ids,), _ = asked(a_task(long, keeps_end=keeps_end), length=7).train
        assert ids.tolist() == [*kept, SEPARATOR, *b"xy", MASK]


def test_an_epoch_has_every_sample_and_the_next_has_them_in_another_order() -> None:
    source = asked(a_task(*[Example(first=str(i), answer=i % 2) for i in range(10)]), batch=4)
    epochs = [[source.samples(3 * epoch + i, seed=5) for i in range(3)] for epoch in range(2)]
    assert source.iterations == 3
    orders = [np.concatenate(each)[:10].tolist() for each in epochs]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(10))
    assert orders[0] != orders[1]
    assert epochs[0][2][2:].tolist() == orders[0][:2], "the last is filled up from the beginning"
    np.testing.assert_array_equal(source.samples(4, seed=5), epochs[1][1])


def test_answers_are_read_off_logits_where_they_are_asked_for() -> None:
    source = asked(a_task(*[Example(first="a", answer=i) for i in (0, 1, 1)]))
    logits = torch.zeros(3, 12, 300)
    logits[:, -1, ord("9")] = 99.0  # no answer
    logits[[0, 1, 2], -1, [ord("0"), ord("1"), ord("0")]] = 1.0
    assert source.answered(logits) == [0, 1, 0]


@pytest.mark.parametrize("answers", Answers)
def test_a_model_is_scored_by_its_answers_to_all_that_is_asked_and_is_not_told_them(answers: Answers) -> None:
    examples = [Example(first="ab"[i % 2], answer=i % 2) for i in range(5)]
    source, sizes = asked(a_task(*examples), answers=answers), []

    def forward(ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        sizes.append(len(ids))
        assert not {ord("0"), ord("1")} & set(labels.flatten().tolist())
        logits = torch.zeros(len(ids), labels.shape[1], 300)
        said_b = (ids[:, -2] == ord("b")).long()
        logits[range(len(ids)), 0 if answers is Answers.DECODER else -1, ord("0") + said_b] = 1.0
        return logits

    assert source.evaluated(forward, batch_samples=2) == {Score.ACCURACY: 1.0}
    assert sizes == [2, 2, 1]


def test_a_value_on_a_scale_is_the_mean_of_what_is_likely() -> None:
    source = asked(a_task(Example(first="a", answer=0), answers=("0", "1", "2"), values=(0.0, 1.0, 2.0)))
    logits = torch.full((1, 12, 300), -30.0)
    logits[0, -1, [ord("1"), ord("2")]] = 0.0
    assert source.answered(logits) == [pytest.approx(1.5)]


def test_a_tokenizer_of_a_folder_tells_texts_and_answers(tmp_path: Path) -> None:
    words = ["[UNK]", "[PAD]", "[SEP]", "[MASK]", "yes", "no", "cat", "0", "1"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    from transformers import BertTokenizer

    BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path / "saved")
    tokens = FolderTokens(tmp_path / "saved")
    assert tokens.ids("cat yes") == [tokens.answers(["cat"])[0], tokens.answers(["yes"])[0]]
    assert len({*tokens.answers(["no", "yes"]), tokens.pad, tokens.separator, tokens.mask}) == 5
    with pytest.raises(ValueError, match="holds no tokenizer"):
        FolderTokens(tmp_path / "nothing")


# --- scores ---


@given(
    answers=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=20),
    values=st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=2, max_size=20),
)
@repeatable
def test_scores_are_those_of_the_libraries(answers: list[tuple[int, int]], values: list[tuple[int, int]]) -> None:
    given_, right = map(list, zip(*answers, strict=True))
    assert accuracy(given_, right) == pytest.approx(accuracy_score(right, given_))
    assert f1(given_, right) == pytest.approx(f1_score(right, given_, zero_division=0.0))
    said, true = map(list, zip(*values, strict=True))
    if len({*said}) > 1 and len({*true}) > 1:
        assert pearson(said, true) == pytest.approx(pearsonr(said, true).statistic)


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(ValueError, match="a correlation needs answers that differ"):
        pearson([1.0, 1.0], [0.0, 1.0])
    with pytest.raises(ValueError, match="t: 1 answers for 2 questions"):
        scored(a_task(PAIR), [1], [1, 1])


# --- as a run asks for it ---

WORK = Workload(
    purpose=Purpose.TRAIN,
    batch_samples=4,
    micro_batch_samples=2,
    tokens=32,
    optimiser=Optimiser.SGD,
    learning_rate=0.1,
)


def test_every_rank_draws_the_same_questions_of_a_task() -> None:
    spec = DataSpec(kind="task", task="halves")
    refuse_other_data(BERT, spec)
    batches = [Source(spec, BERT, WORK, seed=3).batch(7) for _ in range(2)]
    for one, other in zip(*batches, strict=True):
        assert torch.equal(one, other)
    ids, labels = batches[0]
    assert ids.shape == labels.shape == (4, 32)
    assert set(labels[:, -1].tolist()) <= {ord("0"), ord("1")}


def test_what_a_specification_of_a_task_lacks_is_said() -> None:
    assert {*GLUE, *QUESTIONS} == {*TASKS}
    with pytest.raises(ValueError, match="data task needs the name of a task"):
        DataSpec(kind="task")
    with pytest.raises(ValueError, match="data text has no task mrpc"):
        DataSpec(kind="text", task="mrpc")
    with pytest.raises(ValueError, match="unknown task 'cola' \\(known: mrpc, sts_b"):
        DataSpec(kind="task", task="cola")
    with pytest.raises(ValueError, match=r"task mrpc lies in a folder, and data\.folder names none"):
        Source(DataSpec(kind="task", task="mrpc"), BERT, WORK, seed=0)
