"""How long does a block take on devices of several profiles, some of them at another speed? One profile of all."""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from edgesim.cluster import Device
from edgesim.errors import ProfileError
from edgesim.profile.estimates import Estimates
from edgesim.profile.profile import Profile


class Variant(NamedTuple):
    """A device with the profile that knows its seconds, and how many times as fast it is as that says."""

    profile: Profile
    device: Device
    speed: float = 1.0


def profile_of_variants(variants: Mapping[str, Variant]) -> Profile:
    """Return a profile in which every variant is a device of its own, by its name here.

    Raises ProfileError for profiles of several models, or of none.
    """
    profiles = [variant.profile for variant in variants.values()]
    if len(models := {profile.model for profile in profiles}) != 1:
        raise ProfileError(f"profiles of one model can be put together, got {sorted(models) or 'none'}")
    points = tuple(
        replace(point, device=name, seconds=point.seconds / speed)
        for name, (profile, device, speed) in variants.items()
        for point in profile.points
        if point.device == device.name
    )
    estimated = {
        name: (profile.estimates.model, _faster(profile.estimates.devices[device.name], speed))
        for name, (profile, device, speed) in variants.items()
        if profile.estimates is not None and device.name in profile.estimates.devices
    }
    estimates = None
    if estimated:
        model = next(iter(estimated.values()))[0]
        estimates = Estimates(model=model, devices={name: device for name, (_, device) in estimated.items()})
    first = profiles[0]
    return Profile(model=first.model, origin=first.origin, source=first.source, points=points, estimates=estimates)


def _faster(device: Device, speed: float) -> Device:
    """A device whose arithmetic and memory are so many times as fast: estimates of it are exactly as much shorter."""
    return replace(device, flop_per_s=device.flop_per_s * speed, memory_bytes_per_s=device.memory_bytes_per_s * speed)
