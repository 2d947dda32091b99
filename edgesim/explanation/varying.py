"""How do iterations of a schedule vary, if each computation takes as long as one of its calibration's repeats did?"""

from collections.abc import Sequence

import numpy as np

from edgesim.explanation.node_seconds import NodeSeconds, observe
from edgesim.profile import Profile
from edgesim.schedule import COMPUTE
from edgesim.trace import Floats, Trace

DRAWS = 50
"""How many iterations are drawn, unless others are asked for."""


def drawn_makespans(
    trace: Trace, profile: Profile, devices: Sequence[str], *, draws: int = DRAWS, seed: int = 0
) -> tuple[float, ...]:
    """Return how long drawn iterations last, over the trace: by the order of its schedule, without contention anew.

    Of each computation, a repeat of its operation on its device (``devices`` by rank) is drawn by itself. Messages take
    what they take in the trace. Empty where the profile keeps no repeats of what is computed.
    """
    seconds = observe(trace).seconds
    graph = seconds.graph
    kinds = graph.columns.kinds
    computed = {
        number: ratios
        for number, kind in enumerate(kinds)
        if kind.op in COMPUTE and (ratios := profile.repeats(device=devices[kind.rank], op=kind.op))
    }
    if not computed or trace.makespan_s <= 0:
        return ()
    random = np.random.default_rng(seed)
    places = {number: np.flatnonzero(graph.kind == number) for number in computed}
    found = []
    for _ in range(draws):
        sent_s: Floats = seconds.sent_s.copy()
        for number, nodes in places.items():
            sent_s[nodes] *= random.choice(computed[number], size=len(nodes))
        found.append(NodeSeconds(graph=graph, sent_s=sent_s, landing_s=seconds.landing_s).makespan_s)
    return tuple(each / trace.makespan_s for each in found)
