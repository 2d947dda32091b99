"""What of the standard library of Python 3.11 is used here, on boards with 3.10 too?"""

from edgesim.since_3_11.dates import date_of as date_of
from edgesim.since_3_11.str_enum import StrEnum as StrEnum
