"""What is planned? A model in an environment, with the workload of the paper that the environment comes from.

training      Asteroid's models and testbeds (arXiv 2408.08015), and pools of unequal boards: a mini-batch of 256 in 16
              micro-batches of 16. So eight devices of a group still have two samples each, a pipeline of eight stages
              has twice as many micro-batches as stages, and what a stage keeps in flight still fits on a Jetson Nano.
fine-tuning   PAC's models with parallel adapters on its eight Nanos (arXiv 2408.10746): its mini-batch of 16 sequences
              of 128 tokens, in 2 micro-batches of 8, because its planner may put all eight devices into one group.
requests      Galaxy's models in its environments (arXiv 2405.17245): one sequence of 284 tokens.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from experiments.configuration.planners import Plans
from experiments.planner_bench.pools import pools

POOLS = 20


class Whose(StrEnum):
    """Whose environments they are; how an environment's name begins says which group it is of."""

    ASTEROID = "Asteroid's testbeds"
    POOL = "random pools"
    PAC = "PAC's Nanos"
    GALAXY = "Galaxy's environments"
    OTHER = "others"  # of a study of one's own


def whose(environment: str) -> Whose:
    """The group of an environment.

    >>> [str(whose(name)) for name in ("asteroid_a", "pool-0-01", "demo")]
    ["Asteroid's testbeds", 'random pools', 'others']
    """
    return Whose.__members__.get(environment.replace("-", "_").partition("_")[0].upper(), Whose.OTHER)


_BATCH = ("workload.batch_samples=256", "workload.micro_batch_samples=16")
_TEXT = ("workload=text", "workload.tokens=512", *_BATCH)  # Asteroid's sequence length, recalled
_IMAGES = ("workload=images", *_BATCH)
_TRAINED = {"bert_small": _TEXT, "mobilenet_v2": _IMAGES, "efficientnet_b1": _IMAGES, "resnet50": _IMAGES}
_FINE_TUNED = ("t5_base", "bart_large")
_PAC = (
    "finetuning=parallel_adapters",
    "workload=text",
    "workload.purpose=fine_tune",
    "workload.tokens=128",
    "workload.batch_samples=16",
    "workload.micro_batch_samples=8",
)
_ASKED = ("distilbert", "bert_large", "gpt2_large", "opt_1_3b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One problem, as overrides of the configuration."""

    plans: Plans
    environment: str
    model: str
    overrides: tuple[str, ...]


def cases(seed: int) -> list[Case]:
    """All of them; the seed draws the pools."""
    return [*_training(seed), *_fine_tuning(), *_requests()]


def _training(seed: int) -> Iterator[Case]:
    testbeds = {f"asteroid_{letter}": (f"cluster=asteroid_{letter}",) for letter in "abcd"}
    drawn = {pool.name: pool.overrides for pool in pools(seed, POOLS)}
    for environment, cluster in (testbeds | drawn).items():
        for model, workload in _TRAINED.items():
            yield _case(Plans.PIPELINES, environment, model, *cluster, *workload)


def _fine_tuning() -> Iterator[Case]:
    for model in _FINE_TUNED:
        yield _case(Plans.PIPELINES, "pac_8", model, "cluster=pac", *_PAC)  # "pac" is a planner's name


def _requests() -> Iterator[Case]:
    for letter in "abcdef":
        for model in _ASKED:
            yield _case(Plans.BLOCKS, f"galaxy_{letter}", model, f"cluster=galaxy_{letter}", "workload=request")


def _case(plans: Plans, environment: str, model: str, *overrides: str) -> Case:
    return Case(plans=plans, environment=environment, model=model, overrides=(f"model={model}", *overrides))
