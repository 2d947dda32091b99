"""What are matrices of low rank beside Q and V? Hugging Face's peft puts them there (Hu et al., 2021)."""

from torch import nn

from edgesim.model import Model
from real_runtime.finetuning.places import places_in


def add_low_rank(model: Model, layer: nn.Module) -> nn.Module:
    """Put matrices of low rank into a frozen layer, whose sum is not scaled; one without attention stays as it is."""
    names = places_in(model, [name for name, _ in layer.named_modules()])
    if not names:
        return layer
    from peft import LoraConfig, inject_adapter_in_model  # takes seconds: only who needs it loads it

    rank = int(model.hyper["rank"])
    config = LoraConfig(r=rank, lora_alpha=rank, lora_dropout=0.0, bias="none", target_modules=names)
    return inject_adapter_in_model(config, layer)
