"""How does PyTorch's process group meet without a port of its own? It asks its coordinator over the rank's pipes."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from torch._C._distributed_c10d import Store

from real_runtime.control.port import Port


class PipeStore(Store):
    """A store whose keys and values are held by the coordinator (control/meeting_place.py), for one generation."""

    def __init__(self, port: Port, generation: int) -> None:
        super().__init__()
        self._port, self._generation = port, generation

    def _ask(self, what: str, keys: Sequence[str], **more: Any) -> Any:
        return self._port.ask_store({"ask": what, "keys": list(keys), **more}, self._generation)

    def set(self, key: str, value: str | bytes) -> None:
        """Keep a value for all ranks."""
        self._ask("set", [key], value=_hex(value))

    def get(self, key: str) -> bytes:
        """The value of a key, as soon as somebody has set it."""
        return bytes.fromhex(self._ask("get", [key]))

    def add(self, key: str, amount: int) -> int:
        """Count up, and return the sum."""
        return int(self._ask("add", [key], value=amount))

    def check(self, keys: Sequence[str]) -> bool:
        """Whether all of these are set."""
        return bool(self._ask("check", keys))

    def wait(self, keys: Sequence[str], timeout: timedelta | None = None) -> None:
        """Return when all of these are set. The coordinator judges how long that may take, not the timeout."""
        self._ask("wait", keys)

    def delete_key(self, key: str) -> bool:
        """Forget a key; whether there was one."""
        return bool(self._ask("delete", [key]))

    def num_keys(self) -> int:
        """How many keys there are."""
        return int(self._ask("count", []))

    def compare_set(self, key: str, expected: str | bytes, desired: str | bytes) -> bytes:
        """Set a value where the old one is as expected, and return the value that is there then."""
        return bytes.fromhex(self._ask("compare and set", [key], expected=_hex(expected), value=_hex(desired)))


def _hex(value: str | bytes) -> str:
    return (value.encode() if isinstance(value, str) else bytes(value)).hex()
