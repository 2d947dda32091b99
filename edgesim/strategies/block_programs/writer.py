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
from edgesim.strategies.block_programs.collectives import Hop, gather
from edgesim.strategies.block_programs.program import RankProgram, Tasks, TileMessages, all_of
from edgesim.strategies.block_programs.rank_share import RankShare


class StepWriter:
    """Writes steps into a rank's program, one pass after the other."""

    def __init__(self, share: RankShare, program: RankProgram) -> None:
        self.share, self.program = share, program
        self._place: Place | None = None  # where the last step was
        self._posted: Tasks = ()  # what a receive would have waited for just before this place

    def write(self, steps: Iterable[Step], micro_batch: int | None) -> None:
        """Write all steps of a pass; a computation that follows an exchange waits for what it brings."""
        self.program.micro_batch, self._place = micro_batch, None
        for step in steps:
            self._write(step)

    def hear(self, steps: Iterable[ExchangeStep], micro_batch: int | None) -> Tasks:
        """Write exchanges that no computation waits for yet; return their receives."""
        self.program.micro_batch = micro_batch
        return tuple(task for step in steps for task in self._exchange(step))

    def _write(self, step: Step) -> None:
        match step:
            case ComputeStep():
                self._arrive(step.place)
                if not step.last_only or self.share.me == self.share.last:
                    self._compute(step)
            case ExchangeStep():
                self._arrive(step.place)
                self.program.ready = self._exchange(step)
            case OverlapStep():
                self._overlap(step)
            case SumGradientsStep():
                if self.share.n > 1:
                    self.program.ready = self.program.ring(self.share.stage.stage.layers, step.nbytes)

    def _arrive(self, place: Place) -> None:
        if place is not self._place:
            self._place, self._posted = place, self.program.posted

    def _compute(self, step: ComputeStep, tile: int | None = None) -> Tasks:
        """Write the computation of the rank's share, or of one tile; return its task."""
        tokens = self.share.tokens(step) if tile is None else self.share.stage.tiles[tile]
        units = self.share.units(step.place.block, step.by)
        return self.program.compute(step, tokens=tokens, units=units, tile=tile)

    def _exchange(self, step: ExchangeStep) -> Tasks:
        """Write the rank's messages; return what brings it what the others have."""
        program, done, last = self.program, self.program.last, self.share.last
        match step.exchange:
            case Exchange.GATHER:
                return all_of(program.gather(self._tiles(step)))
            case Exchange.SCATTER:
                return program.scatter(self._tiles(step), dict.fromkeys(range(self.share.n), done))
            case Exchange.ALL_REDUCE:
                return program.all_reduce(step.place, self._alike(step))
            case Exchange.TELL:
                return all_of(program.gather(self._alike(step)))
            case Exchange.FROM_LAST:
                hops = [hop for hop in gather(self.share.n, program.algorithm, self.share.me) if hop.tile == last]
            case Exchange.HAND_OVER:
                hops = [Hop(last, last, self.share.alone)] if self.share.alone != last else []
        return all_of(program.exchange(hops, self._alike(step), {self.share.me: done}))

    def _overlap(self, step: OverlapStep) -> None:
        """The own tile enters first, and leaves last; each waits only for itself."""
        me, n, posted = self.share.me, self.share.n, self.program.last
        received = self.program.gather(self._tiles(step.gather))
        for i in range(n):
            tile = (me - i) % n
            self.program.ready = received.get(tile, ())
            self._compute(step.entering, tile)
        for inner in step.between:
            self._compute(inner)
        if step.leaving is None or step.scatter is None:
            return
        own: dict[int, Tasks] = {}
        for i in range(n):
            tile = (me + n - 1 - i) % n
            own[tile] = self._compute(step.leaving, tile)
        self.program.ready = self.program.scatter(self._tiles(step.scatter, posted), own)

    def _tiles(self, step: ExchangeStep, posted: Tasks | None = None) -> TileMessages:
        """Messages that carry tiles: each rank's tokens."""
        if posted is None:
            posted = self._posted if step.ahead else self.program.posted
        return TileMessages(
            payload=step.payload,
            layer=step.place.index,
            block=step.name,
            nbytes=self.share.stage.tile_bytes(step),
            tokens=self.share.stage.tiles,
            posted=posted,
        )

    def _alike(self, step: ExchangeStep) -> TileMessages:
        """Messages of the same size from every rank."""
        n = self.share.n
        return TileMessages(
            payload=step.payload,
            layer=step.place.index,
            block=step.name,
            nbytes=[self.share.stage.whole_bytes(step)] * n,
            tokens=[step.tokens] * n,
            posted=self.program.posted,
        )
