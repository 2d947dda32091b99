"""What does a profile say of a model that has lost some blocks? Those that are left keep their seconds."""

from dataclasses import replace

from edgesim.model import Model
from edgesim.profile.profile import Profile


def of_blocks(profile: Profile, model: Model) -> Profile:
    """Return the profile without its points of whole layers, which have lost some of their blocks; the head has not.

    So it is for a side network whose backbone's outputs are cached (:func:`edgesim.finetuning.cached`).
    """
    head = model.layers[-1].name
    points = tuple(point for point in profile.points if "/" in point.block or point.block == head)
    return replace(profile, model=model.name, points=points)
