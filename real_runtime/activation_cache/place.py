"""Where do ranks keep an activation cache, and how? Said without loading PyTorch: whoever starts ranks says it."""

from dataclasses import dataclass
from pathlib import Path

from edgesim.cached_outputs import Storage


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePlace:
    """A folder that holds a folder for each rank, and how numbers are kept there; a rank takes ``limit_bytes`` at most.

    None is no limit but the disk's.
    """

    folder: str
    storage: str = Storage.FP32
    limit_bytes: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "storage", str(Storage(self.storage)))
        if self.limit_bytes is not None and not self.limit_bytes > 0:
            raise ValueError(f"an activation cache may take more than 0 bytes, got limit_bytes={self.limit_bytes}")

    def of_rank(self, rank: int) -> Path:
        """A rank's own folder."""
        return Path(self.folder) / f"rank{rank}"
