"""A module of my own: a small residual network of pictures, as a chain of layers.

edgesim trace docs/templates/my_net.py:make --resolution 64 --output docs/templates/my_net.json
"""

from torch import Tensor, nn


class Residual(nn.Module):
    """Two convolutions of half the channels' groups, and what went in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=2),
            nn.BatchNorm2d(channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 1),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add what the body makes of the input to it."""
        return nn.functional.silu(x + self.body(x))


def make(width: int = 32, blocks: int = 3) -> nn.Sequential:
    """Give the chain: it may be cut between any two of its children that have parameters."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 3, stride=2, padding=1), nn.SiLU()]
    for stage in range(3):
        channels = width * 2**stage
        layers += [Residual(channels) for _ in range(blocks)]
        layers += [nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1), nn.SiLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width * 8, 10))
