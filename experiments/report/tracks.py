"""What does a timeline show? Tracks of every player: what ranks compute, links, disks, memory and power; in few bytes.

A track of tasks is four columns in the order of their starts (start, end, kind, micro-batch), and whether each is on
the critical path; numbers are little-endian arrays in base 64. Seconds count from the trace's first start.
"""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgesim.computing_power import ComputingPower
from edgesim.energy import power_steps
from edgesim.explanation import critical_path
from edgesim.footprint import Footprints
from edgesim.schedule import COLLECTIVE, COMPUTE, DISK, Kind, Op
from edgesim.trace import RankSpans, Trace
from edgesim.units import show
from experiments.configuration.setup import Setup
from experiments.figures.style import OPS, meaning

_MANY_RANKS = 16  # beyond which a rank's links are one track, and memory and power are not shown
_LIGHT = {"backward", "recomputation", "gradient"}  # looks on which a text is black


def timeline_data(traces: Sequence[Trace], ranks: Sequence[str], setup: Setup | None) -> dict[str, Any]:
    """What the page's script draws: the first trace above. Memory and power only where it is known what was played."""
    kinds, players = _Kinds(), []
    for trace in traces:
        on_path = _on_path(trace)
        lanes = [
            lane
            for rank, name in enumerate(ranks)
            for lane in (
                *_tracks(trace, rank, name, on_path, kinds, many=len(ranks) > _MANY_RANKS),
                *(_steps(trace, rank, setup) if setup is not None and len(ranks) <= _MANY_RANKS else ()),
            )
        ]
        players.append({"name": trace.player, "makespan_s": trace.makespan_s, "lanes": lanes})
    return {"players": players, "kinds": kinds.told, "looks": kinds.looks}


class _Kinds:
    """What tasks say, each once."""

    def __init__(self) -> None:
        self.numbers: dict[Kind, int] = {}
        self.told: list[dict[str, Any]] = []
        self.looks: list[dict[str, Any]] = []
        self._looks: dict[str, int] = {}

    def number(self, kind: Kind) -> int:
        if kind not in self.numbers:
            self.numbers[kind] = len(self.told)
            before, after = kind.name_around
            letter = str(kind.op) if kind.op in (Op.F, Op.B) else ""
            told = {"before": before, "after": after, "letter": letter, "look": self._look(meaning(kind))}
            self.told.append(told | {"detail": _detail(kind)})
        return self.numbers[kind]

    def _look(self, name: str) -> int:
        if name not in self._looks:
            self._looks[name] = len(self.looks)
            colour, hatch = OPS[name]
            self.looks.append({"name": name, "colour": colour, "hatch": hatch[:1], "light": name in _LIGHT})
        return self._looks[name]


def _detail(kind: Kind) -> str:
    said = []
    if kind.op in COMPUTE:
        said.append(f"layers {kind.layers[0]} to {kind.layers[1] - 1}")
        if kind.samples[1]:
            said.append(f"samples {kind.samples[0]} to {kind.samples[1] - 1}")
    if kind.nbytes:
        said.append(show(kind.nbytes, "B"))
    return ", ".join(said)


def _tracks(
    trace: Trace, rank: int, name: str, on_path: npt.NDArray[np.bool_], kinds: _Kinds, *, many: bool
) -> Iterator[dict[str, Any]]:
    """A rank's tasks: what it computes, does at its disk and in rings, and sends over each link; ``many``: over all."""
    spans = trace.of_rank(rank)
    first = int(trace.schedule.columns.first[rank]) if rank < trace.schedule.ranks else 0
    mine = on_path[first : first + len(spans)]
    sends = spans.does(Op.SEND)
    peers = spans.each(lambda kind: kind.peers[0] if kind.op is Op.SEND else -1, np.int64)
    links = [("sends", sends)]
    if not many:
        links = [(f"to {peer}", sends & (peers == peer)) for peer in np.unique(peers[sends]).tolist()]
    parts = [("disk", "disk", spans.does(*DISK)), ("ring", "ring", spans.does(*COLLECTIVE))]
    parts += [("link", label, such) for label, such in links]
    yield from (
        {"rank": rank, "type": "tasks", "what": what, "label": label} | _tasks(trace, spans, such, mine, kinds)
        for what, label, such in (("compute", name, spans.does(*COMPUTE)), *((w, f"   {n}", s) for w, n, s in parts))
        if what == "compute" or such.any()
    )


def _on_path(trace: Trace) -> npt.NDArray[np.bool_]:
    """[task] Whether it is on the critical path."""
    on_path = np.zeros(len(trace), dtype=bool)
    on_path[[step.task for step in critical_path(trace)]] = True
    return on_path


def _tasks(
    trace: Trace, spans: RankSpans, such: npt.NDArray[np.bool_], on_path: npt.NDArray[np.bool_], kinds: _Kinds
) -> dict[str, Any]:
    places = np.flatnonzero(such)
    places = places[np.argsort(spans.start_s[places], kind="stable")]
    numbers = {number: kinds.number(spans.kinds[number]) for number in np.unique(spans.kind[places]).tolist()}
    return {
        "starts": _text(spans.start_s[places] - trace.first_s, "<f4"),
        "ends": _text(spans.end_s[places] - trace.first_s, "<f4"),
        "kinds": _text(np.array([numbers[kind] for kind in spans.kind[places].tolist()]), "<u2"),
        "batches": _text(spans.micro_batch[places], "<i4"),
        "path": _text(on_path[places], "<u1"),
    }


def _steps(trace: Trace, rank: int, setup: Setup) -> Iterator[dict[str, Any]]:
    memory_s, held_bytes = Footprints(setup.model, setup.workload).over_time(
        trace.of_rank(rank), setup.cluster.devices[rank]
    )
    computing = ComputingPower(setup.cluster.devices, setup.model, setup.workload.tokens)
    power_s, power_w = power_steps(trace, setup.cluster, rank, computing)
    for what, unit, at_s, values in (("memory", "B", memory_s, held_bytes), ("power", "W", power_s, power_w)):
        if len(values):
            most = show(float(np.max(values)), unit)
            yield {
                "rank": rank,
                "type": "steps",
                "what": what,
                "unit": unit,
                "label": f"   {what}, ≤ {most}",
                "times": _text(np.maximum(np.asarray(at_s) - trace.first_s, 0), "<f4"),
                "values": _text(np.asarray(values), "<f4"),
            }


def _text(values: npt.NDArray[Any], kind: str) -> str:
    return b64encode(np.ascontiguousarray(values, dtype=kind).tobytes()).decode()
