"""What are adapters behind attention and MLP? A bottleneck with GELU and a residual (Houlsby et al., 2019)."""

from torch import Tensor, nn
from torch.nn import functional

from edgesim.model import Model
from real_runtime.finetuning.places import places_in

_NEARLY_NOTHING = 1e-2  # standard deviation of both matrices: at first an adapter changes little


class Adapted(nn.Module):
    """The matrix with which a block ends, and an adapter behind it."""

    def __init__(self, exit: nn.Module, hidden: int, bottleneck: int) -> None:
        super().__init__()
        self.exit, self.down, self.up = exit, nn.Linear(hidden, bottleneck), nn.Linear(bottleneck, hidden)
        for matrix in (self.down, self.up):
            nn.init.normal_(matrix.weight, std=_NEARLY_NOTHING)
            nn.init.zeros_(matrix.bias)

    def forward(self, entered: Tensor) -> Tensor:
        left: Tensor = self.exit(entered)
        adapted: Tensor = left + self.up(functional.gelu(self.down(left)))
        return adapted

    @property
    def weight(self) -> Tensor:
        """The matrix itself: T5 looks at its type."""
        weight: Tensor = self.exit.get_parameter("weight")
        return weight


def adapt(model: Model, layer: nn.Module) -> nn.Module:
    """Put adapters into a frozen layer; one without attention and MLP stays as it is."""
    for name in places_in(model, [name for name, _ in layer.named_modules()]):
        where, _, own = name.rpartition(".")
        exit = layer.get_submodule(name)
        setattr(
            layer.get_submodule(where), own, Adapted(exit, int(model.hyper["hidden"]), int(model.hyper["bottleneck"]))
        )
    return layer
