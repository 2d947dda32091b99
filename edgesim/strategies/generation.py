"""How does a rank generate? It reads the prompt, then one token at a time; each pass chooses the next one."""

from dataclasses import replace

from edgesim.schedule import Payload
from edgesim.strategies.collectives import Hop
from edgesim.strategies.forward import forward, tell, vocabulary_bytes
from edgesim.strategies.program import Program, all_of
from edgesim.strategies.rank_view import RankView


def generate(view: RankView, program: Program) -> None:
    """All passes of a request, numbered like micro-batches; where weights are not divided, one rank goes on alone."""
    first = view.workload.tokens
    forward(view, program, 0)
    if view.units:
        program.ready = tell(view, program, 0)
    else:
        _hand_over(view, program)
        if view.me != view.alone:
            return
    for m in range(1, view.workload.new_tokens):
        one = replace(view, now=(first + m - 1, first + m))
        forward(one, program, m)
        if view.units:
            program.ready = tell(one, program, m)


def _hand_over(view: RankView, program: Program) -> None:
    """Who has the prompt's last token tells who goes on alone what comes next."""
    last = view.n - 1
    if view.alone == last:
        return
    *_, (i, layer, block) = view.blocks()
    received = program.exchange(
        [Hop(last, last, view.alone)],
        Payload.VOCABULARY,
        i,
        f"{layer.name}/{block.name}",
        0,
        nbytes=[vocabulary_bytes(view)] * view.n,
        tokens=[view.asked] * view.n,
        own={last: (program.last,)},
    )
    program.ready = all_of(received)
