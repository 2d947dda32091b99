"""Who hears how far a run is? Nobody, unless somebody listens."""

from contextlib import AbstractContextManager, nullcontext

from real_runtime.execution import Iteration


class Listener:
    """Hears how far a run is; this one lets it go by in silence."""

    def tell(self, said: object) -> None:
        """Hear what is known now."""

    def waiting(self, what: str) -> AbstractContextManager[object]:
        """Hear what may take a while, for as long as it does."""
        return nullcontext()

    def measured(self, iteration: Iteration) -> None:
        """Hear of an iteration of a real run, as soon as all ranks have played it."""


SILENCE = Listener()
