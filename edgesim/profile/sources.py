"""Where does a profile come from? From a device's description, from measured rows, or device by device from several."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from edgesim.cluster import Device, Origin
from edgesim.errors import ProfileError
from edgesim.model import Block, Layer, Model
from edgesim.profile.estimates import Estimates, estimated_s
from edgesim.profile.point import BACKWARD, FORWARD, UPDATE, Point, Portion
from edgesim.profile.profile import Profile


def estimate(model: Model, devices: Sequence[Device], *, samples: Sequence[int], tokens: int) -> Profile:
    """Make a profile from FLOPs, bytes and the devices' descriptions: a table for every sample count given.

    For other tokens and samples, keys, shares and parts, the formula behind it answers.
    """
    by_name = {device.name: device for device in devices}
    tables = ((FORWARD, samples), (BACKWARD, samples), (UPDATE, (0,)))
    points = (
        _estimated(device, layer, block, op, Portion(count, tokens))
        for device in by_name.values()
        for layer in model.layers
        for block in layer.blocks
        for op, counts in tables
        for count in counts
    )
    return Profile(
        model=model.name,
        origin=Origin.ESTIMATED,
        source=f"FLOPs and bytes on {', '.join(sorted(by_name))}",
        points=tuple(points),
        estimates=Estimates(model=model, devices=by_name),
    )


def _estimated(device: Device, layer: Layer, block: Block, op: str, portion: Portion) -> Point:
    return Point(
        block=f"{layer.name}/{block.name}",
        device=device.name,
        op=op,
        samples=portion.samples,
        tokens=portion.tokens,
        share=1.0,
        seconds=estimated_s(device, block, op, portion),
    )


def mix(profiles: Mapping[str, Profile]) -> Profile:
    """Take each device's points from the profile that is named for it; the origin is ``mixed`` where origins differ.

    The only way to put measured and estimated seconds into one profile; each estimated device keeps the formula behind
    its points. Raises ProfileError if the profiles are of different models, or if one does not know its device.
    """
    models = {profile.model for profile in profiles.values()}
    if len(models) != 1:
        raise ProfileError(f"only profiles of one model can be mixed, got {', '.join(sorted(models)) or 'none'}")
    points: list[Point] = []
    sources: dict[str, list[str]] = defaultdict(list)
    for device, profile in sorted(profiles.items()):
        own = [point for point in profile.points if point.device == device]
        if not own:
            raise ProfileError(f"{profile} has no device {device!r} (measure it, or take an estimate for it)")
        points += own
        sources[f"{profile.origin} ({profile.provenance})"].append(device)
    origins = {profile.origin for profile in profiles.values()}
    return Profile(
        model=models.pop(),
        origin=origins.pop() if len(origins) == 1 else Origin.MIXED,
        source="; ".join(f"{source} for {', '.join(devices)}" for source, devices in sources.items()),
        points=tuple(points),
        estimates=_joined_estimates(profiles),
    )


def _joined_estimates(profiles: Mapping[str, Profile]) -> Estimates | None:
    known = {name: profile.estimates for name, profile in profiles.items() if profile.estimates is not None}
    devices = {name: behind.devices[name] for name, behind in known.items() if name in behind.devices}
    return Estimates(model=next(iter(known.values())).model, devices=devices) if devices else None


def profile_from_rows(model: str, source: str, rows: Iterable[dict[str, Any]]) -> Profile:
    """Make a measured profile from rows of points."""
    return Profile(model=model, origin=Origin.MEASURED, source=source, points=tuple(Point(**row) for row in rows))
