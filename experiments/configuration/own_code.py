"""Where does Python look for a user's own planners, figures and modules?"""

import os
import sys


def import_from_here_last() -> None:
    """Let Python find a user's modules where they stand, after all that is installed: theirs never shadow ours."""
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
