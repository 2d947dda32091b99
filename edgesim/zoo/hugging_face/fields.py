"""What does a field of a configuration say? Each is read by name, and one that is wrong or unknown is named."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from edgesim.zoo.chains import MOST_LAYERS

_MOST = 10**9  # of anything that a configuration counts: no published model has a million of any
_LIKENESS = 0.9  # of an unread field's name to one that is missing, to be taken for a slip of the pen


class Fields:
    """The fields of one configuration. Every mistake is a ValueError that names the file and the field."""

    def __init__(self, values: Mapping[str, Any], source: str) -> None:
        self.values, self.source = values, source
        self._asked: set[str] = set()

    def mistake(self, text: str) -> ValueError:
        """Return the error that says this of the file."""
        return ValueError(f"{self.source}: {text}")

    def value(self, name: str) -> Any:
        """Return what the file says; None where it says nothing."""
        self._asked.add(name)
        return self.values.get(name)

    def count(self, name: str, default: int | None = None) -> int:
        """Return a whole number of at least 1. Without a default, the field must be there."""
        value = self.value(name)
        if value is None:
            if default is None:
                raise self.mistake(f"{name} is missing{self._meant(name)}")
            return default
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.mistake(f"{name} must be a whole number of at least 1, got {value!r}")
        if value > _MOST:
            raise self.mistake(f"{name} must be at most {_MOST}, got one of {len(str(value))} digits")
        return value

    def layers(self, name: str, default: int | None = None) -> int:
        """Return how many layers there are, which must be few enough to be written out."""
        count = self.count(name, default)
        if count > MOST_LAYERS:
            raise self.mistake(f"{name} must be at most {MOST_LAYERS}, got {count} (is a digit too many in it?)")
        return count

    def flag(self, name: str, default: bool) -> bool:
        """Return true or false."""
        value = self.value(name)
        if value is not None and not isinstance(value, bool):
            raise self.mistake(f"{name} must be true or false, got {value!r}")
        return default if value is None else value

    def only(self, name: str, *known: Any, default: Any) -> None:
        """Raise ValueError for any value but these; ``default`` is what the library takes for a missing field."""
        value = default if self.value(name) is None else self.value(name)
        if value not in known:
            raise self.mistake(f"{name}={value!r} is not supported (known: {', '.join(map(str, known))})")

    def absent(self, name: str, why: str) -> None:
        """Raise ValueError, with the way out, for a field that says anything but none, zero or false."""
        if self.value(name):
            raise self.mistake(f"{name} is not supported ({why})")

    def alike(self, *names: str) -> int:
        """Return the one number that all these fields hold."""
        counts = {name: self.count(name) for name in names}
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{name}={count}" for name, count in counts.items())
            raise self.mistake(f"{listed} must be equal (the zoo's encoders and decoders are alike)")
        return counts[names[0]]

    def names(self, name: str, length: int, known: Sequence[str]) -> list[str]:
        """Return so many entries, each one of the known; none where the field is missing."""
        value = self.value(name)
        if value is None:
            return []
        if not isinstance(value, list) or len(value) != length:
            raise self.mistake(f"{name} must be a list of {length} names, one for each layer, got {value!r}")
        if unknown := [entry for entry in value if entry not in known]:
            raise self.mistake(f"{name} has {unknown[0]!r}, which is not supported (known: {', '.join(known)})")
        return value

    def refuse_slips(self) -> None:
        """Raise ValueError for a field that nobody asked for and that is nearly the name of a missing one."""
        missing = sorted(self._asked - self.values.keys())
        for name in self.values.keys() - self._asked:
            if near := get_close_matches(name, missing, n=1, cutoff=_LIKENESS):
                raise self.mistake(f"unknown field {name!r} (did you mean {near[0]!r}?)")

    def _meant(self, name: str) -> str:
        near = get_close_matches(name, self.values.keys() - self._asked, n=1)
        return f" (did you mean it by {near[0]!r}?)" if near else " (take the config.json of the checkpoint itself)"
