"""What is there to learn from, and can a model read it? Said without loading PyTorch: whoever starts ranks asks it."""

from dataclasses import dataclass

import numpy as np

from edgesim.model import Model
from edgesim.workload import Workload
from real_runtime.data.text_folder import text_of_folder

PAD, MASK, SEPARATOR, BYTE_VOCABULARY = 256, 257, 258, 259
_ASKED = ("halves", "same_module")  # of functions
TASKS = ("mrpc", "sts_b", "sst_2", "qnli", *_ASKED)
# What a model of this hyper-parameter reads: token ids, or images.
_READS = {"vocabulary": "text", "resolution": "digits"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSpec:
    """What to learn from.

    ``text``: all ``*.py``, ``*.txt`` and ``*.md`` files of a folder, by default Python's own sources.
    ``digits``: scikit-learn's 8 x 8 images, scaled to the model's resolution.
    ``task``: questions with answers. Of GLUE, whose folder holds a folder for each task; or about Python's own sources,
    or those of a folder (``halves``, ``same_module``). Bytes are tokens, or ``tokenizer`` is a folder of the library's.
    """

    kind: str
    folder: str | None = None
    task: str | None = None
    tokenizer: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("text", "digits", "task"):
            raise ValueError(f"unknown data {self.kind!r} (known: text, digits, task)")
        if (self.kind == "task") != (self.task is not None):
            said = "needs the name of a task" if self.task is None else f"has no task {self.task}"
            raise ValueError(f"data {self.kind} {said} (choose data=glue or data=functions, and data.task)")
        if self.task is not None and self.task not in TASKS:
            raise ValueError(f"unknown task {self.task!r} (known: {', '.join(TASKS)})")

    @property
    def reads_own_sources(self) -> bool:
        """Whether it is made of the sources of the Python that reads it, which differ between versions."""
        return not self.folder and (self.kind == "text" or self.task in _ASKED)

    @property
    def chosen_by(self) -> str:
        """What ``data=`` is called that chooses it."""
        return self.kind if self.task is None else "functions" if self.task in _ASKED else "glue"


def known_reads(model: Model) -> str | None:
    """The kind of data that the model reads; None if it does not say."""
    return next((kind for hyper, kind in _READS.items() if hyper in model.hyper), None)


def refuse_other_data(model: Model, data: DataSpec) -> None:
    """Raise ValueError if the model does not read this data."""
    reads = known_reads(model)
    if reads is None:
        raise ValueError(f"{model.name} does not say what it reads (trace it with --resolution or --vocabulary)")
    if reads != ("text" if data.kind == "task" else data.kind):
        raise ValueError(f"{model.name} reads {reads}, not {data.kind} (choose data={reads} and a workload to match)")
    if reads == "text" and data.tokenizer is None and model.hyper["vocabulary"] < BYTE_VOCABULARY:
        raise ValueError(
            f"{model.name} has a vocabulary of {model.hyper['vocabulary']}, text as bytes needs {BYTE_VOCABULARY}"
        )


def answered_tokens(model: Model) -> int:
    """How many tokens a decoder answers to what its encoder reads; 0 for a model without both."""
    return int(model.hyper.get("decoder_tokens", 0))


def corpus(spec: DataSpec, model: Model, workload: Workload) -> np.ndarray:
    """The text that samples are drawn from. Raises ValueError where there is too little."""
    text, needed = np.frombuffer(text_of_folder(spec.folder), dtype=np.uint8), max(1, answered_tokens(model))
    if text.size < workload.tokens + needed:
        needed += workload.tokens
        raise ValueError(f"text folder {spec.folder}: holds {text.size} bytes, a sample needs {needed}")
    return text
