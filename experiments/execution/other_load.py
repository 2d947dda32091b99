"""How is it written down, and read again, which iterations other load disturbed, and on which host?"""

from collections.abc import Mapping, Sequence
from typing import Any

from real_runtime.execution import host_of, share_of
from real_runtime.other_load.foreign_load import told


def disturbed_dict(shares: Sequence[float]) -> dict[str, Any]:
    """What a file of figures says of it; nothing where nothing is known."""
    hosts = [host_of(share) for share in shares]
    return {**({"disturbed": list(shares)} if shares else {}), **({"disturbed_on": hosts} if any(hosts) else {})}


def told_of(figures: Mapping[str, Any]) -> str:
    """The same in words, from the file; nothing where nothing was disturbed."""
    shares = figures.get("disturbed", ())
    hosts = figures.get("disturbed_on", [""] * len(shares))
    return told(tuple(share_of(share, host) for share, host in zip(shares, hosts, strict=True)), "iterations")
