"""Where do ranks find each other's addresses? At the coordinator, over their own pipes: no port, no file, no stranger.

What ``torch.distributed.Store`` asks for, as messages. A question for a key that nobody has set yet is answered when
somebody does.
"""

import threading
from collections.abc import Callable
from typing import Any

Question = dict[str, Any]

_ASKS = frozenset(("get", "set", "add", "check", "delete", "count", "compare and set", "wait"))
_SETS = {"set": ("value",), "compare and set": ("value", "expected")}
_OF_ANY_KEYS = frozenset(("check", "count", "wait"))
_MOST, _LETTERS = 1_000_000, 1_000_000  # keys, and letters of a key or value: addresses of ranks take some hundred


def start_key(command: int, iteration: int) -> str:
    """Under which key the second is told at which all ranks start an iteration of a command."""
    return f"start of iteration {iteration} of command {command}"


def refuse_no_question(question: Question) -> None:
    """Raise ValueError for what no rank asks."""
    ask, keys, value = question.get("ask"), question.get("keys"), question.get("value", "")
    if type(question.get("id")) is not int or not isinstance(ask, str) or ask not in _ASKS:
        raise ValueError("no question: it has no number, or asks for nothing that is known")
    if not isinstance(keys, list) or not all(isinstance(key, str) and len(key) < _LETTERS for key in keys):
        raise ValueError("no question: its keys are no texts")
    if not keys and ask not in _OF_ANY_KEYS:
        raise ValueError("no question: it names no key")
    if ask == "add":
        if type(value) is not int or abs(value) > _MOST:
            raise ValueError("no question: it adds no number")
    elif not all(isinstance(each, str) and len(each) < _LETTERS for each in (value, question.get("expected", ""))):
        raise ValueError("no question: its value is no text")
    elif not set(_SETS.get(ask, ())) <= question.keys():
        raise ValueError("no question: it sets nothing")


class MeetingPlace:
    """The keys and values of all ranks; ``answer`` tells a rank the answer to one of its questions."""

    def __init__(self, answer: Callable[[int, dict[str, Any]], object]) -> None:
        self._answer, self._lock = answer, threading.Lock()
        self._values: dict[str, str] = {}
        self._unanswered: list[tuple[int, Question]] = []

    def hear(self, rank: int, question: Question) -> None:
        """Answer what a rank asks, now or when it can be. Raises ValueError for what is no question."""
        refuse_no_question(question)
        with self._lock:
            if len(self._values) + len(self._unanswered) >= _MOST:
                raise ValueError(f"more than {_MOST} keys and questions")
            self._unanswered.append((rank, question))
            self._answer_all()

    def put(self, key: str, value: str) -> None:
        """Set a value that ranks may wait for."""
        with self._lock:
            self._values[key] = value
            self._answer_all()

    def _answer_all(self) -> None:
        answered = True
        while answered:  # an answer may set what another question waits for
            answered = False
            for each in list(self._unanswered):
                if self._can_be_answered(each[1]):
                    self._unanswered.remove(each)
                    self._answer(each[0], {"store": each[1]["id"], "value": self._value(each[1])})
                    answered = True

    def _can_be_answered(self, question: Question) -> bool:
        return question["ask"] not in ("get", "wait") or all(key in self._values for key in question["keys"])

    def _value(self, question: Question) -> Any:
        values, keys = self._values, question["keys"]
        match question["ask"]:
            case "get":
                return values[keys[0]]
            case "set":
                values[keys[0]] = question["value"]
            case "add":
                total = int(bytes.fromhex(values.get(keys[0], "30"))) + question["value"]
                values[keys[0]] = str(total).encode().hex()
                return total
            case "check":
                return all(key in values for key in keys)
            case "delete":
                return values.pop(keys[0], None) is not None
            case "count":
                return len(values)
            case "compare and set":
                if (keys[0] not in values and not question["expected"]) or values.get(keys[0]) == question["expected"]:
                    values[keys[0]] = question["value"]
                return values.get(keys[0], question["expected"])
            case "wait":
                return None
            case other:
                raise ValueError(f"the meeting place knows no {other!r}")
        return None
