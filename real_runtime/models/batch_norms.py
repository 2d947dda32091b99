"""Which tensors does a module learn from batches as they pass, not from gradients? Running means and variances."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def _norms(module: nn.Module) -> list[_BatchNorm]:
    return [each for each in module.modules() if isinstance(each, _BatchNorm) and each.track_running_stats]


def statistics_of_batches(module: nn.Module) -> Iterator[Tensor]:
    """Yield the running mean and variance of each batch norm, in the order of the module."""
    for norm in _norms(module):
        assert norm.running_mean is not None, "it tracks them"
        assert norm.running_var is not None, "it tracks them"
        yield from (norm.running_mean, norm.running_var)


@contextmanager
def statistics_as_they_are(module: nn.Module) -> Iterator[None]:
    """Let batch norms use the samples' statistics without adding them to their running ones a second time."""
    norms = _norms(module)
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
