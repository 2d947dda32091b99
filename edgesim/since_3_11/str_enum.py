"""What is an enumeration of texts? ``enum.StrEnum``, and where Python has none yet, one that behaves alike."""

import sys
from enum import Enum

if sys.version_info >= (3, 11):
    from enum import StrEnum as StrEnum
else:

    class StrEnum(str, Enum):
        """Its members are texts: compared, written and formatted as such; ``auto()`` is the name in small letters."""

        def __new__(cls, text: str) -> "StrEnum":
            """A member. Raises TypeError for what is no text."""
            if type(text) is not str:
                raise TypeError(f"{text!r} is not a string")
            member = str.__new__(cls, text)
            member._value_ = text
            return member

        @staticmethod
        def _generate_next_value_(name: str, start: int, count: int, last_values: list[str]) -> str:
            return name.lower()

        __str__ = str.__str__
        __format__ = str.__format__
