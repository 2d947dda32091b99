"""What do the ranks learn from? Small real data, drawn alike by every rank: bytes of text, or scikit-learn's digits."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edgesim.model import Model
from edgesim.workload import Workload
from real_runtime.models import is_causal
from real_runtime.models.language import IGNORED, masked_tokens
from real_runtime.text_folder import text_of_folder

PAD, MASK, SEPARATOR, BYTE_VOCABULARY = 256, 257, 258, 259
_DIGITS_MAXIMUM = 16.0
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


class Source:
    """Draws batches; the same seed and iteration give the same batch on every rank."""

    def __init__(self, spec: DataSpec, model: Model, workload: Workload, seed: int) -> None:
        self.model, self.workload, self.seed = model, workload, seed
        if spec.kind == "digits":
            self.images, self.labels = _digits(int(model.hyper["resolution"]))
        else:
            self.causal = is_causal(model)
            self.corpus = corpus(spec, workload)
        self.kind = spec.kind

    def batch(self, iteration: int) -> tuple[Tensor, Tensor]:
        """One iteration's inputs and targets: ids and labels [batch, tokens], or images and classes [batch].

        Labels are the bytes that are hidden; those of a causal model, the next byte for every token.
        """
        random = np.random.default_rng([self.seed, iteration])
        if self.kind == "digits":
            chosen = torch.from_numpy(random.integers(len(self.labels), size=self.workload.batch_samples))
            return self.images[chosen], self.labels[chosen]
        tokens = self.workload.tokens
        starts = random.integers(self.corpus.size - tokens, size=self.workload.batch_samples)
        text = torch.from_numpy(np.stack([self.corpus[s : s + tokens + 1] for s in starts]).astype(np.int64))
        if self.causal:
            return text[:, :-1].contiguous(), text[:, 1:].contiguous()
        return _hide(text[:, :-1], random)


def _hide(ids: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Every sample hides the same number of bytes, so that the mean over samples is the mean over hidden bytes."""
    order = np.argsort(random.random(tuple(ids.shape)), axis=1)
    hidden = torch.from_numpy(order[:, : masked_tokens(ids.shape[1])].copy())
    labels = torch.full_like(ids, IGNORED).scatter(1, hidden, ids.gather(1, hidden))
    return ids.scatter(1, hidden, MASK), labels


def corpus(spec: DataSpec, workload: Workload) -> np.ndarray:
    """The text that samples are drawn from. Raises ValueError where there is too little."""
    text = np.frombuffer(text_of_folder(spec.folder), dtype=np.uint8)
    if text.size <= workload.tokens:
        raise ValueError(f"text folder {spec.folder}: holds {text.size} bytes, a sample needs {workload.tokens + 1}")
    return text


def _digits(resolution: int) -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits  # a second and 100 MB of every rank, which readers of text do without

    digits = load_digits()
    images = torch.from_numpy(digits.images).float().div(_DIGITS_MAXIMUM)[:, None].expand(-1, 3, -1, -1)
    return torch.nn.functional.interpolate(images, size=resolution, mode="bilinear"), torch.from_numpy(
        digits.target
    ).long()
