"""How is a task written in a schedule's text? One line: its name, its ranges, and what it needs."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from edgesim.errors import ScheduleError
from edgesim.schedule.columns import TaskColumns
from edgesim.schedule.kind import MEETING, Kind, Op, Payload, Peers
from edgesim.schedule.task import Task

_NAME = re.compile(
    r"(?P<stage>\d+)(?P<op>" + "|".join(sorted(Op, key=len, reverse=True)) + r")(?:_(?P<payload>[a-z]+))?"
    r"(?P<micro_batch>\d+)?(?:\.(?P<block>[\w./-]+))?(?:#(?P<tile>\d+))?(?::(?P<bucket>\d+))?"
    r"@(?P<rank>\d+)(?:[<>](?P<peer>\d+))?"
)


def task_to_text(task: Task) -> str:
    """Write a task as one line, without its end; :func:`task_from_text` reads it back."""
    return f"{task.name}{_fields(task.kind)}{_needs(task.needs)}"


def column_lines(columns: TaskColumns) -> Iterator[str]:
    """Yield what :func:`task_to_text` writes of every task."""
    # Each kind once, but for collectives, which have few tasks and may name thousands of peers.
    fields = ["" if kind.op in MEETING else _fields(kind) for kind in columns.kinds]
    names = columns.names()
    for name, kind, needs in zip(names, columns.kind.tolist(), columns.needed(names), strict=True):
        yield f"{name}{fields[kind] or _fields(columns.kinds[kind])}{_needs(needs)}"


def _fields(kind: Kind) -> str:
    fields = [f" layers={kind.layers[0]}:{kind.layers[1]}", f"samples={kind.samples[0]}:{kind.samples[1]}"]
    for name, (start, stop) in (("tokens", kind.tokens), ("units", kind.units)):
        if stop:
            fields.append(f"{name}={start}:{stop}")
    if kind.op in MEETING:
        fields.append(f"peers={_peers_text(kind.peers)}")
    if kind.nbytes:
        fields.append(f"bytes={kind.nbytes}")
    return " ".join(fields)


@lru_cache(maxsize=64)  # all members of a collective say the same
def _peers_text(peers: tuple[int, ...]) -> str:
    return ",".join(map(str, peers))


def _needs(names: Sequence[str]) -> str:
    return f" needs={','.join(names)}" if names else ""


def task_from_text(line: str) -> Task:
    """Read a line of :func:`task_to_text`. Raises ScheduleError."""
    try:
        return _task(*line.split())
    except (KeyError, TypeError, ValueError) as error:
        expected = "expected something like '1F3@2 layers=0:2 samples=0:4'"
        raise ScheduleError(f"not a task: {line.strip()!r} ({expected}; {error})") from None


def _task(name: str, *fields: str) -> Task:
    if (parts := _NAME.fullmatch(name)) is None:
        raise ValueError(f"{name} is not the name of a task")
    value = dict(field.split("=", 1) for field in fields)
    return Task(
        op=Op(parts["op"]),
        rank=int(parts["rank"]),
        stage=int(parts["stage"]),
        layers=_pair(value["layers"]),
        block=parts["block"] or "",
        micro_batch=_int(parts["micro_batch"]),
        tile=_int(parts["tile"]),
        samples=_pair(value["samples"]),
        tokens=_pair(value.get("tokens", "0:0")),
        units=_pair(value.get("units", "0:0")),
        payload=Payload(parts["payload"]) if parts["payload"] else None,
        peers=_ring(parts["peer"] or value.get("peers", "")),
        nbytes=int(value.get("bytes", 0)),
        bucket=_int(parts["bucket"]),
        needs=tuple(value["needs"].split(",")) if "needs" in value else (),
    )


@lru_cache(maxsize=1024)  # all members of a collective say the same
def _ring(text: str) -> Peers:
    return Peers(int(peer) for peer in text.split(",") if peer)


def _pair(text: str) -> tuple[int, int]:
    start, stop = text.split(":")
    return int(start), int(stop)


def _int(text: str | None) -> int | None:
    return None if text is None else int(text)
