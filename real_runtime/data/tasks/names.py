"""How do the texts of a pair become tokens that say which names they share? Names by the order in which they come.

A small model that has seen little text cannot know rare names, and need not: what tells of a pair is which names are in
both. So common words are a token each; any other word of the first text is the first, second, third ... of that text,
wherever it comes again; one that only the second text has is the first, second, third ... of those. Signs between
words are left out. It is what Hermann et al. (2015) do to the entities of a text.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from real_runtime.data.tasks.examples import Example, Task

_WORD = re.compile(r"\w+")
_KNOWN, _NEW = "@known", "@new"  # no word begins so


class NameTokens:
    """Common words, and ``places`` each for names of the first text and of the second alone; the last is shared."""

    def __init__(self, common: Sequence[str], *, places: int) -> None:
        names = [f"{kind}{place}" for kind in (_KNOWN, _NEW) for place in range(places)]
        self.places = places
        self.ids_of = {word: number for number, word in enumerate([*common, *names])}
        self.pad = len(self.ids_of)
        self.separator, self.mask, self._answers = self.pad + 1, self.pad + 2, self.pad + 3
        self.vocabulary = self._answers + 2

    @classmethod
    def of_texts(cls, texts: Iterable[str], *, common: int, places: int) -> "NameTokens":
        """Let those words be common that most texts have."""
        counts = Counter(word for text in texts for word in set(_WORD.findall(text)))
        return cls([word for word, _ in counts.most_common(common)], places=places)

    def named(self, task: Task) -> Task:
        """The task in words of these tokens."""
        return replace(
            task,
            train=tuple(self._named(example) for example in task.train),
            dev=tuple(self._named(example) for example in task.dev),
        )

    def ids(self, text: str) -> list[int]:
        """The ids of a text of such a task."""
        return [self.ids_of[word] for word in text.split()]

    def answers(self, words: Sequence[str]) -> list[int]:
        """An id for each of two answers. Raises ValueError for more."""
        if len(words) > 2:
            raise ValueError(f"names are told of questions with two answers, got {', '.join(words)} (read bytes)")
        return [self._answers + number for number in range(len(words))]

    def _named(self, example: Example) -> Example:
        first: dict[str, str] = {}
        second: dict[str, str] = {}
        texts = [
            [self._name(word, first, _KNOWN) for word in _WORD.findall(example.first)],
            [first.get(word) or self._name(word, second, _NEW) for word in _WORD.findall(example.second)],
        ]
        return replace(example, first=" ".join(texts[0]), second=" ".join(texts[1]))

    def _name(self, word: str, names: dict[str, str], kind: str) -> str:
        if word in self.ids_of:
            return word
        return names.setdefault(word, f"{kind}{min(len(names), self.places - 1)}")
