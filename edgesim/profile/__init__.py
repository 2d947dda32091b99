"""How long does a block take on a device? One table of seconds, estimated or measured or both, with its origin.

A point says: this block (or its part, or a whole layer), on this device, for this op, with so many samples and tokens
that look at so many keys, and this share of its heads or columns, takes so many seconds. Between what it knows of each
of these the table is linear; outside it refuses. But an estimate, which is a formula, answers whatever it is asked.
"""

from edgesim.profile.estimates import Estimates, estimated_s, flop_and_bytes
from edgesim.profile.lines import leave_one_out_error
from edgesim.profile.of_blocks import of_blocks
from edgesim.profile.point import BACKWARD, CALL, FORWARD, UPDATE, Point, Portion
from edgesim.profile.profile import Profile
from edgesim.profile.sources import estimate, mix, profile_from_rows

__all__ = [
    "BACKWARD",
    "CALL",
    "FORWARD",
    "UPDATE",
    "Estimates",
    "Point",
    "Portion",
    "Profile",
    "estimate",
    "estimated_s",
    "flop_and_bytes",
    "leave_one_out_error",
    "mix",
    "of_blocks",
    "profile_from_rows",
]
