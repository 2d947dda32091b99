"""What is an enumeration of texts? ``enum.StrEnum``, and where Python has none yet, one that behaves alike."""

import sys
from enum import Enum


class _Text(str, Enum):
    """Its members are texts: compared, written and formatted as such; ``auto()`` is the name in small letters."""

    def __new__(cls, text: str) -> "_Text":
        """A member. Raises TypeError for what is no text."""
        if type(text) is not str:
            raise TypeError(f"{text!r} is not a string")
        member = str.__new__(cls, text)
        member._value_ = text
        return member

    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: list[str]) -> str:
        return name.lower()

    def __str__(self) -> str:
        return str.__str__(self)

    def __format__(self, format_spec: str) -> str:
        return str.__format__(self, format_spec)


if sys.version_info >= (3, 11):
    from enum import StrEnum as StrEnum
else:
    StrEnum = _Text
