"""Does a value fit a type of Python's, and if not, what does the type expect? In words for people."""

import inspect
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from experiments.configuration.suggestions import suggestion

NO_HINT = inspect.Parameter.empty
LISTS = (list, tuple, Sequence, Iterable, Collection)
MAPPINGS = (dict, Mapping)
_LONGEST = 60  # of a value that a message shows
_NUMBER_AS_TEXT = ("name", "source")  # a name that looks like a number is one all the same


def misfit(value: Any, hint: Any, key: str = "") -> str | None:
    """What a type expects, if the value is none of it; None where it fits, or where nothing is known of the type."""
    types = choices(hint)
    expected = [_expected(value, each, key) for each in types]
    if not types or None in expected:
        return None
    told = [each for each, choice in zip(expected, types, strict=True) if choice is not NoneType]
    return " or ".join(dict.fromkeys(str(each) for each in told)) + (" or null" if NoneType in types else "")


def choices(hint: Any) -> tuple[Any, ...]:
    """The types of which one must fit. A name out of an enumeration is not any text, though the library takes both."""
    if hint in (None, Any, NO_HINT):
        return ()
    types = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    named = any(isinstance(each, type) and issubclass(each, Enum) for each in types)
    return tuple(each for each in types if not (named and each is str))


def _expected(value: Any, hint: Any, key: str) -> str | None:
    origin, is_number = get_origin(hint), isinstance(value, int | float) and not isinstance(value, bool)
    if origin is Literal:
        return None if value in get_args(hint) else f"one of {', '.join(map(str, get_args(hint)))}"
    if hint is NoneType:
        return None if value is None else "null"
    if hint is bool:
        return None if isinstance(value, bool) else "true or false"
    if hint is int:
        return None if is_number and isinstance(value, int) else "a whole number, like 2"
    if hint is float:
        return None if is_number else "a number, like 0.5"
    if hint is str:
        return None if isinstance(value, str) or (is_number and key in _NUMBER_AS_TEXT) else "a text"
    if isinstance(hint, type) and issubclass(hint, Enum):
        return None if value in [each.value for each in hint] else f"one of {', '.join(str(each) for each in hint)}"
    if origin in LISTS:
        return None if isinstance(value, list) else _list_of(get_args(hint)[:1])
    if origin in MAPPINGS:
        return None if isinstance(value, dict) else "a mapping, like {name: value}"
    if origin is not None or not isinstance(hint, type) or hint in (object, *LISTS):
        return None
    if hint is Path or (isinstance(value, dict) and "_target_" in value):
        return None if isinstance(value, dict | str) else "a path"
    return f"a {hint.__name__} (a mapping with _target_)"


def inner(hint: Any) -> Any:
    """What a list of this type holds, if that is clear."""
    lists = [get_args(each) for each in choices(hint) if get_origin(each) in LISTS and get_args(each)]
    return lists[0][0] if len(lists) == 1 else None


def _list_of(items: Sequence[Any]) -> str:
    if items and get_origin(items[0]) in LISTS:
        return "a list of lists, like [[0],[1,2]]"
    kinds = {int: " of whole numbers, like [1,2]", float: " of numbers, like [0.5,1.0]"}
    return "a list" + (kinds.get(items[0], "") if items else "")


def takes_numbers(hint: Any) -> bool:
    """Whether a value of this type can be a quantity; not if it can only be a text, or something else altogether."""
    types = choices(hint)
    return not types or any(each in (int, float) or get_origin(each) in LISTS for each in types)


def near(value: Any, hint: Any) -> str:
    names = [
        str(each)
        for choice in choices(hint)
        if isinstance(choice, type) and issubclass(choice, Enum)
        for each in choice
    ]
    return suggestion(str(value), names) if names else ""


def shown(value: Any) -> str:
    text = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 4]} ..."
