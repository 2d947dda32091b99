"""Where do ranks find each other's addresses? At the coordinator, over their own pipes: no port, no file, no stranger.

What ``torch.distributed.Store`` asks for, as messages. A question for a key that nobody has set yet is answered when
somebody does.
"""

import threading
from collections.abc import Callable
from typing import Any

Question = dict[str, Any]


class MeetingPlace:
    """The keys and values of all ranks; ``answer`` tells a rank the answer to one of its questions."""

    def __init__(self, answer: Callable[[int, dict[str, Any]], object]) -> None:
        self._answer, self._lock = answer, threading.Lock()
        self._values: dict[str, str] = {}
        self._unanswered: list[tuple[int, Question]] = []

    def hear(self, rank: int, question: Question) -> None:
        """Answer what a rank asks, now or when it can be."""
        with self._lock:
            self._unanswered.append((rank, question))
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
