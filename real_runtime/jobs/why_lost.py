"""Why is a rank lost? Told apart by how its process ended, what the kernel says of it, and its own last words."""

from real_runtime.control.coordinator import Coordinator
from real_runtime.control.diagnosis import signal_of
from real_runtime.control.evidence import HOST_LOST, Memory


def why_lost(coordinator: Coordinator, rank: int, told: str = "") -> str:
    """In words, behind the rank's name; ``told`` is the error that it told itself."""
    process, witness = coordinator.ranks[rank], coordinator.witness
    if told:
        return f"failed at {told}"
    if process.exit_code() is not None:
        witness.note_end(rank)
    if (ending := witness.endings.get(rank)) is not None:
        if ending.memory is Memory.AT_ITS_LIMIT:
            return f"ran out of memory at {process.now}: the kernel killed it at its limit"
        if ending.exit_code == HOST_LOST:
            return f"was lost at {process.now}: {ending.cause}"
        name = signal_of(ending.exit_code)
        ended = f"was killed by {name}" if name else f"ended itself with code {ending.exit_code}"
        likely = " when the kernel killed for want of memory on this machine" * (ending.memory is Memory.SOMEWHERE)
        return f"{ended} at {process.now}{likely}"
    if process.vitals().is_stopped:
        return f"was stopped (SIGSTOP) at {process.now}"
    if process.board.head().link_down:
        return f"lost its link at {process.now}"
    return f"has said nothing since {process.now}"
