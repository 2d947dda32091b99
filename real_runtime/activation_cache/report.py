"""What does a cache hold, what does it lack, and how far off is it? In numbers and in a sentence."""

from dataclasses import dataclass

from edgesim.units import show


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheReport:
    """What a cache says of itself.

    Attributes:
        entries: outputs that are there, one for each sample and layer.
        nbytes: what its files take.
        refused: outputs that were not kept, for want of room.
        why_refused: what room was wanting; "" where nothing was refused.
        damaged: entries that were found damaged; they count as not there.
        max_relative_error: the largest error of a number by the largest magnitude of its row, of every eighth output
            that was written.
        rms_relative_error: the root of the mean squared error by that of the mean squared number.
        writing_s: seconds that writing took, on whatever thread did it.
    """

    entries: int
    nbytes: int
    refused: int
    why_refused: str
    damaged: int
    max_relative_error: float
    rms_relative_error: float
    writing_s: float

    def __str__(self) -> str:
        error = f"error {self.max_relative_error:.2g} at most, {self.rms_relative_error:.2g} in the mean (RMS)"
        lacking = f"; {self.refused} outputs are not kept: {self.why_refused}" if self.refused else ""
        damaged = f"; {self.damaged} entries are damaged" if self.damaged else ""
        return f"{self.entries} outputs, {show(self.nbytes, 'B')}, {error}{lacking}{damaged}"
