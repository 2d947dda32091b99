"""What is there to learn from, and can a model read it? Said without loading PyTorch: whoever starts ranks asks it."""

from dataclasses import dataclass

import numpy as np

from edgesim.model import Model
from edgesim.workload import Workload
from real_runtime.data.text_folder import text_of_folder

PAD, MASK, SEPARATOR, BYTE_VOCABULARY = 256, 257, 258, 259
# What a model of this hyper-parameter reads: token ids, or images.
_READS = {"vocabulary": "text", "resolution": "digits"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSpec:
    """What to learn from.

    ``text``: all ``*.py``, ``*.txt`` and ``*.md`` files of a folder, by default Python's own sources.
    ``digits``: scikit-learn's 8 x 8 images, scaled to the model's resolution.
    """

    kind: str
    folder: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("text", "digits"):
            raise ValueError(f"unknown data {self.kind!r} (known: text, digits)")


def known_reads(model: Model) -> str | None:
    """The kind of data that the model reads; None if it does not say."""
    return next((kind for hyper, kind in _READS.items() if hyper in model.hyper), None)


def refuse_other_data(model: Model, data: DataSpec) -> None:
    """Raise ValueError if the model does not read this data."""
    reads = known_reads(model)
    if reads is None:
        raise ValueError(f"{model.name} does not say what it reads (trace it with --resolution or --vocabulary)")
    if data.kind != reads:
        raise ValueError(f"{model.name} reads {reads}, not {data.kind} (choose data={reads} and a workload to match)")
    if reads == "text" and model.hyper["vocabulary"] < BYTE_VOCABULARY:
        raise ValueError(
            f"{model.name} has a vocabulary of {model.hyper['vocabulary']}, text as bytes needs {BYTE_VOCABULARY}"
        )


def corpus(spec: DataSpec, workload: Workload) -> np.ndarray:
    """The text that samples are drawn from. Raises ValueError where there is too little."""
    text = np.frombuffer(text_of_folder(spec.folder), dtype=np.uint8)
    if text.size <= workload.tokens:
        raise ValueError(f"text folder {spec.folder}: holds {text.size} bytes, a sample needs {workload.tokens + 1}")
    return text
