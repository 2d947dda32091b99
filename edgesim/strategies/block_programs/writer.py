"""How do the steps of a pass become tasks of one rank? Its own heads, columns or tokens, and its ends of messages."""

from collections.abc import Iterable

from edgesim.block_passes.division import Place
from edgesim.block_passes.steps import (
    ComputeStep,
    Exchange,
    ExchangeStep,
    OverlapStep,
    Step,
    SumGradientsStep,
)
from edgesim.schedule import NONE
from edgesim.strategies.block_programs.collectives import Hop
from edgesim.strategies.block_programs.program import Part, RankProgram, Tasks, all_of
from edgesim.strategies.block_programs.rank_share import RankShare


class StepWriter:
    """Writes steps into a rank's program, one pass after the other."""

    def __init__(self, share: RankShare, program: RankProgram) -> None:
        self.share, self.program, self.sayings = share, program, program.sayings
        self._place: Place | None = None  # where the last step was
        self._posted: Tasks = ()  # what a receive would have waited for just before this place

    def write(self, steps: Iterable[Step], micro_batch: int = NONE) -> None:
        """Write all steps of a pass; a computation that follows an exchange waits for what it brings."""
        self.program.tasks.micro_batch, self._place = micro_batch, None
        for step in steps:
            self._write(step)

    def hear(self, steps: Iterable[ExchangeStep], micro_batch: int) -> Tasks:
        """Write exchanges that no computation waits for yet; return their receives."""
        self.program.tasks.micro_batch = micro_batch
        return tuple(task for step in steps for task in self._exchange(step))

    def _write(self, step: Step) -> None:
        match step:
            case ComputeStep():
                self._arrive(step.place)
                if not step.last_only or self.share.me == self.share.last:
                    self.program.compute(step)
            case ExchangeStep():
                self._arrive(step.place)
                self.program.ready = self._exchange(step)
            case OverlapStep():
                self._overlap(step)
            case SumGradientsStep():
                self.program.ready = self.program.sum_gradients(step)

    def _arrive(self, place: Place) -> None:
        if place is not self._place:
            self._place, self._posted = place, self.program.posted

    def _exchange(self, step: ExchangeStep) -> Tasks:
        """Write the rank's messages; return what brings it what the others have."""
        program, share, done = self.program, self.share, self.program.last
        posted = self._posted if step.ahead else program.posted
        match step.exchange:
            case Exchange.GATHER:
                return all_of(program.gather(self.sayings.tiles(step), posted))
            case Exchange.SCATTER:
                return program.scatter(self.sayings.tiles(step), posted, dict.fromkeys(range(share.n), done))
            case Exchange.ALL_REDUCE:
                return program.all_reduce(step)
            case Exchange.TELL:
                return all_of(program.gather(self.sayings.alike(step, step.payload), program.posted))
            case Exchange.FROM_LAST:
                return program.share_tile(share.last, self.sayings.alike(step, step.payload))
            case Exchange.HAND_OVER:
                hops = [Hop(share.last, share.last, share.alone)] if share.alone != share.last else []
                saying = self.sayings.alike(step, step.payload)
                return all_of(program.exchange(Part.of(hops, share.me), saying, program.posted, {share.me: done}))

    def _overlap(self, step: OverlapStep) -> None:
        """The own tile enters first, and leaves last; each waits only for itself."""
        program, me, n, posted = self.program, self.share.me, self.share.n, self.program.last
        received = program.gather(self.sayings.tiles(step.gather), program.posted)
        for i in range(n):
            tile = (me - i) % n
            program.ready = received.get(tile, ())
            program.compute_tile(step.entering, tile)
        for inner in step.between:
            program.compute(inner)
        if step.leaving is None or step.scatter is None:
            return
        own: dict[int, Tasks] = {}
        for i in range(n):
            tile = (me + n - 1 - i) % n
            own[tile] = program.compute_tile(step.leaving, tile)
        program.ready = program.scatter(self.sayings.tiles(step.scatter), posted, own)
