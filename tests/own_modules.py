"""Files that a user might write: a small residual CNN and a small transformer. None of them is the library's."""

from pathlib import Path

CNN = '''
"""A small residual CNN."""
from torch import nn


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=2), nn.BatchNorm2d(channels), nn.SiLU(),
            nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels),
        )

    def forward(self, x):
        return nn.functional.relu(x + self.body(x))


def make(width: int = 8) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, width, 3, stride=2, padding=1), nn.ReLU(inplace=True),
        Residual(width), nn.MaxPool2d(2), Residual(width),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10),
    )
'''

TRANSFORMER = '''
"""A small pre-norm transformer, which says itself what its layers are."""
import torch
from torch import nn


class Embedding(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(259, hidden), nn.Embedding(128, hidden)

    def forward(self, ids):
        return self.tokens(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))


class Block(nn.Module):
    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.qkv, self.out = nn.LayerNorm(hidden), nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)
        self.mlp = nn.Sequential(
            nn.LayerNorm(hidden), nn.Linear(hidden, 2 * hidden), nn.GELU(), nn.Linear(2 * hidden, hidden)
        )

    def forward(self, x):
        b, t, h = x.shape
        q, k, v = (part.view(b, t, self.heads, -1).transpose(1, 2) for part in self.qkv(self.norm(x)).chunk(3, -1))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        x = x + self.out(mixed.transpose(1, 2).reshape(b, t, h))
        return x + self.mlp(x)


class Transformer(nn.Module):
    def __init__(self, hidden: int, blocks: int) -> None:
        super().__init__()
        self.embedding = Embedding(hidden)
        self.blocks = nn.ModuleList(Block(hidden, 2) for _ in range(blocks))
        self.head = nn.Linear(hidden, 259)

    def layers(self):
        return [self.embedding, *self.blocks, self.head]


def make(hidden: int = 16, blocks: int = 2) -> Transformer:
    return Transformer(hidden, blocks)
'''


def written(folder: Path, text: str, name: str = "own.py") -> Path:
    """The text as a file."""
    path = folder / name
    path.write_text(text)
    return path
