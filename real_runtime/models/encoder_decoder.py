"""What do text-to-text models share? What crosses a boundary of their decoder, the ids that it reads, and their loss.

Between two decoder layers the encoder's output and the decoder's state travel as one tensor [samples, tokens + decoder
tokens, hidden]; the first decoder layer embeds the ids, which are the labels one place later.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from real_runtime.models.language import IGNORED
from real_runtime.weights.loans import Loan


def text_to_text_loss(hyper: Mapping[str, Any], tokens: int, output: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of the answer: the sum over samples of each one's mean over its tokens."""
    logits, labels = output.flatten(0, 1), target.flatten()
    summed = nn.functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")
    return summed / int(hyper["decoder_tokens"])


def layers_of(hyper: Mapping[str, Any]) -> tuple[int, int]:
    """The index of the first decoder layer, and of the head."""
    first = 1 + int(hyper["encoder_layers"])
    return first, first + int(hyper["decoder_layers"])


def words_lent(hyper: Mapping[str, Any], index: int, *, tied_head: bool) -> list[Loan]:
    """The first decoder layer looks ids up in the embedding's words, and a tied head multiplies by them."""
    first, head = layers_of(hyper)
    if index == first:
        return [Loan(owner=0, of="word_embeddings.weight", name="embedding.word_embeddings.weight")]
    if index == head and tied_head:
        return [Loan(owner=0, of="word_embeddings.weight", name="decoder.weight")]
    return []


class DecoderLayer(nn.Module):
    """A decoder layer of the library's, of any kind that ``decode`` calls."""

    def __init__(self, layer: nn.Module, hyper: Mapping[str, Any], index: int) -> None:
        super().__init__()
        self.layer: Any = layer
        self.decoder_tokens, self.is_last = int(hyper["decoder_tokens"]), index + 1 == layers_of(hyper)[1]

    def decode(self, encoded: Tensor, state: Tensor) -> Tensor:
        """The decoder's next state. A family's file says how the library computes it."""
        raise NotImplementedError

    def forward(self, carried: Tensor) -> Tensor:
        """Of the encoder's output and the decoder's state in one tensor make what the next layer reads."""
        encoded, state = (part.contiguous() for part in self.apart(carried))
        return self.passed_on(encoded, self.decode(encoded, state))

    def apart(self, carried: Tensor) -> tuple[Tensor, Tensor]:
        """The encoder's output, and the decoder's state."""
        return carried[:, : -self.decoder_tokens], carried[:, -self.decoder_tokens :]

    def passed_on(self, encoded: Tensor, state: Tensor) -> Tensor:
        """What leaves the layer: behind the last one nobody reads the encoder's output any more."""
        return state if self.is_last else torch.cat([encoded, state], dim=1)


class FirstDecoderLayer(nn.Module):
    """The ids of the decoder, embedded, and its first layer; it reads the encoder's output and the labels."""

    READS_LABELS = True

    def __init__(self, embedding: nn.Module, layer: DecoderLayer, start: int) -> None:
        super().__init__()
        self.embedding, self.layer, self.start = embedding, layer, start

    def forward(self, encoded: Tensor, labels: Tensor | None = None) -> Tensor:
        """Without labels, which only whoever wants a shape or a duration leaves out, every id is the start's."""
        state = self.embedding(self.ids(labels, len(encoded), encoded.device))
        return self.layer.passed_on(encoded, self.layer.decode(encoded, state))

    def ids(self, labels: Tensor | None, samples: int, device: torch.device) -> Tensor:
        """The start and all labels but the last."""
        ids = torch.full((samples, self.layer.decoder_tokens), self.start, dtype=torch.long, device=device)
        if labels is not None:
            ids[:, 1:] = labels[:, :-1]
        return ids


def seen_before(tokens: int, like: Tensor) -> Tensor | None:
    """What is added to scores so that no token sees a later one; of a single token there is nothing to hide."""
    if tokens == 1:
        return None
    return torch.full((tokens, tokens), torch.finfo(like.dtype).min, device=like.device).triu(1)[None, None]
