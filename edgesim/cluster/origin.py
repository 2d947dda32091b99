"""Where does a number come from? Measured, published, from a data sheet, derived, estimated or assumed."""

from edgesim.since_3_11 import StrEnum


class Origin(StrEnum):
    """What a number is. Every number of a device, a network or a profile carries one of these."""

    MEASURED = "measured"  # by this suite
    PUBLISHED = "published"  # by others who measured it
    DATASHEET = "datasheet"  # by the maker
    DERIVED = "derived"  # computed from numbers of the three kinds above
    ESTIMATED = "estimated"  # a profile from FLOPs, bytes and a device's description
    ASSUMED = "assumed"  # nobody knows
    MIXED = "mixed"  # a profile whose devices differ in their origin; its source says how
