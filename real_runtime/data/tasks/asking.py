"""How does a model read a task? By its tokens, and where it answers."""

from edgesim.model import Model
from edgesim.workload import Workload
from real_runtime.data.spec import DataSpec
from real_runtime.data.tasks.reading import read_task
from real_runtime.data.tasks.source import Answers, TaskSource
from real_runtime.data.tasks.tokens import ByteTokens, FolderTokens, Tokens
from real_runtime.models import is_causal


def task_source(spec: DataSpec, model: Model, workload: Workload) -> TaskSource:
    """The task as the model reads it. Raises ValueError for a tokenizer with more tokens than the model has."""
    tokens: Tokens = ByteTokens() if spec.tokenizer is None else FolderTokens(spec.tokenizer)
    if tokens.vocabulary > model.hyper["vocabulary"]:
        raise ValueError(
            f"{model.name} has a vocabulary of {model.hyper['vocabulary']}, the tokenizer in {spec.tokenizer} needs "
            f"{tokens.vocabulary}"
        )
    decoder_tokens = int(model.hyper.get("decoder_tokens", 0))
    return TaskSource(
        read_task(spec),
        tokens,
        length=workload.tokens,
        batch_samples=workload.batch_samples,
        answers=Answers.DECODER if decoder_tokens else Answers.NEXT if is_causal(model) else Answers.HIDDEN,
        decoder_tokens=decoder_tokens,
    )
