"""What of fine-tuning cannot the runtime do? Said without loading PyTorch, before any rank starts."""

from edgesim.model import Model
from edgesim.schedule import Op, Schedule
from real_runtime.data.spec import answered_tokens
from real_runtime.finetuning.places import PLACES


def refuse_untunable(model: Model, schedule: Schedule) -> None:
    """Raise ValueError for a model, or a technique, that the runtime cannot train, and for ranks that divide it."""
    technique = model.hyper.get("technique")
    divided = any(task.block for program in schedule.programs for task in program[:1])
    if divided and (technique or answered_tokens(model)):
        raise ValueError(
            f"the runtime keeps layers of {model.name} whole, and this schedule divides their blocks "
            "(take strategy=hybrid_pipeline, data or pipeline, or execute=false)"
        )
    if technique is None:
        return
    if model.hyper.get("cached") and not any(task.op is Op.CACHE_READ for task in schedule):
        raise ValueError(
            f"{model.name} learns from cached outputs, which this schedule does not read (say "
            "strategy.cache.use=read, execute=false, or leave the cache out)"
        )
    if model.hyper.get("lora_dropout"):
        raise ValueError("the runtime trains LoRA without dropout: runs must agree (set finetuning.dropout=false)")
    places = PLACES.get(str(technique))
    if places is not None and model.architecture not in places:
        raise ValueError(
            f"the runtime does not know where {technique} go in {model.architecture} "
            f"(known: {', '.join(places)}; or set execute=false)"
        )
