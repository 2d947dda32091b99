"""How do texts become token ids? By a local tokenizer's folder, or byte by byte, which needs no file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from real_runtime.data.spec import BYTE_VOCABULARY, MASK, PAD, SEPARATOR

_FIRST_ANSWER = ord("0")  # answers of bytes: 0, 1, 2, ...


class Tokens(Protocol):
    """How texts are told."""

    vocabulary: int
    pad: int
    separator: int
    mask: int

    def ids(self, text: str) -> list[int]:
        """The ids of a text, without any of the others."""

    def answers(self, words: Sequence[str]) -> list[int]:
        """An id for each answer, all different."""


class ByteTokens:
    """Every byte of UTF-8 is a token."""

    vocabulary, pad, separator, mask = BYTE_VOCABULARY, PAD, SEPARATOR, MASK

    def ids(self, text: str) -> list[int]:
        """The bytes."""
        return list(text.encode())

    def answers(self, words: Sequence[str]) -> list[int]:
        """Bytes from that of ``0`` on."""
        return [_FIRST_ANSWER + number for number in range(len(words))]


class FolderTokens:
    """A tokenizer that the library has saved in a folder. Raises ValueError for a folder without one."""

    def __init__(self, folder: str | Path) -> None:
        from transformers import AutoTokenizer  # takes seconds, and bytes do without

        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{folder} holds no tokenizer (save one there with save_pretrained, or read bytes)"
            ) from error
        made = self.tokenizer
        self.vocabulary = len(made)
        ends = [made.sep_token_id, made.eos_token_id, made.pad_token_id]
        self.separator = _known(ends, folder, "separator, end or padding")
        self.pad = _known([made.pad_token_id, self.separator], folder, "padding")
        self.mask = _known([made.mask_token_id, self.separator], folder, "mask")

    def ids(self, text: str) -> list[int]:
        """The tokenizer's ids."""
        found: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return found

    def answers(self, words: Sequence[str]) -> list[int]:
        """The first id of each answer; where two begin alike, ids of numbers. Raises ValueError where these do too."""
        for told in (words, [str(number) for number in range(len(words))]):
            ids = [self.ids(word)[:1] for word in told]
            if all(ids) and len({first for (first,) in ids}) == len(words):
                return [first for (first,) in ids]
        raise ValueError(f"the tokenizer has no single token for each of {', '.join(words)} (read bytes)")


def _known(ids: Sequence[int | None], folder: str | Path, what: str) -> int:
    found = next((each for each in ids if each is not None), None)
    if found is None:
        raise ValueError(f"the tokenizer in {folder} has no token for {what}")
    return found
