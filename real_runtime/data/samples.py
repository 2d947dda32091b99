"""Which samples does an iteration learn from? Drawn alike by every rank: bytes of text, or scikit-learn's digits."""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edgesim.model import Model
from edgesim.workload import Workload
from real_runtime.data.spec import MASK, DataSpec, answered_tokens, corpus
from real_runtime.data.tasks.asking import task_source
from real_runtime.models import is_causal
from real_runtime.models.language import IGNORED, masked_tokens

_DIGITS_FILE, _DIGITS_SHAPE, _DIGITS_MAXIMUM = "datasets/data/digits.csv.gz", (8, 8), 16.0


class Source:
    """Draws batches; the same seed and iteration give the same batch on every rank."""

    def __init__(self, spec: DataSpec, model: Model, workload: Workload, seed: int) -> None:
        self.model, self.workload, self.seed = model, workload, seed
        if spec.kind == "task":
            self.task = task_source(spec, model, workload)
        elif spec.kind == "digits":
            self.images, self.labels = _digits(int(model.hyper["resolution"]))
        else:
            self.causal = is_causal(model)
            self.answered = answered_tokens(model)
            self.corpus = corpus(spec, model, workload)
        self.kind = spec.kind

    def batch(self, iteration: int) -> tuple[Tensor, Tensor]:
        """One iteration's inputs and targets: ids and labels [batch, tokens], or images and classes [batch].

        Labels are the bytes that are hidden; those of a causal model, the next byte for every token; those of an
        encoder and decoder, the bytes behind the text that the encoder reads.
        """
        if self.kind == "task":
            return self.task.batch(iteration, seed=self.seed)
        random = np.random.default_rng([self.seed, iteration])
        if self.kind == "digits":
            chosen = torch.from_numpy(random.integers(len(self.labels), size=self.workload.batch_samples))
            return self.images[chosen], self.labels[chosen]
        tokens = self.workload.tokens
        more = max(1, self.answered)
        starts = random.integers(self.corpus.size - tokens - more + 1, size=self.workload.batch_samples)
        text = torch.from_numpy(np.stack([self.corpus[s : s + tokens + more] for s in starts]).astype(np.int64))
        if self.answered:
            return text[:, :tokens].contiguous(), text[:, tokens:].contiguous()
        if self.causal:
            return text[:, :-1].contiguous(), text[:, 1:].contiguous()
        return _hide(text[:, :-1], random)


def _hide(ids: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Every sample hides the same number of bytes, so that the mean over samples is the mean over hidden bytes."""
    order = np.argsort(random.random(tuple(ids.shape)), axis=1)
    hidden = torch.from_numpy(order[:, : masked_tokens(ids.shape[1])].copy())
    labels = torch.full_like(ids, IGNORED).scatter(1, hidden, ids.gather(1, hidden))
    return ids.scatter(1, hidden, MASK), labels


@lru_cache(maxsize=2)
def _digits(resolution: int) -> tuple[Tensor, Tensor]:
    """Images and classes, from the file that scikit-learn brings: to load it would take a second and 100 MB."""
    library = find_spec("sklearn")
    if library is None or library.origin is None:
        raise ModuleNotFoundError("the digits are scikit-learn's, which is not installed (pip install scikit-learn)")
    rows = torch.from_numpy(np.loadtxt(Path(library.origin).parent / _DIGITS_FILE, delimiter=","))
    images = rows[:, :-1].float().div(_DIGITS_MAXIMUM).reshape(-1, 1, *_DIGITS_SHAPE).expand(-1, 3, -1, -1)
    return torch.nn.functional.interpolate(images, size=resolution, mode="bilinear"), rows[:, -1].long()
