"""Who plans? A row per competitor: add one to have it in the bench."""

from dataclasses import dataclass
from enum import StrEnum


class Plans(StrEnum):
    """What a competitor's plans are, and so which cases it is asked."""

    PIPELINES = "pipelines"  # of training and fine-tuning: stages of layers, and shares of samples
    BLOCKS = "blocks"  # of one request: shares of heads, columns and tokens


class Kind(StrEnum):
    """Where a competitor comes from: figures draw baselines pale, summaries leave oracles out of planning times."""

    OURS = "ours"
    PUBLISHED = "published"
    BASELINE = "baseline"
    ORACLE = "oracle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Competitor:
    """A planner with its options and the strategy that plays its plans, as overrides of the configuration."""

    name: str
    plans: Plans
    kind: Kind
    overrides: tuple[str, ...]


def _row(plans: Plans, kind: Kind, name: str, *overrides: str) -> Competitor:
    return Competitor(name=name, plans=plans, kind=kind, overrides=overrides)


# fmt: off
COMPETITORS = (
    _row(Plans.PIPELINES, Kind.OURS, "simulate_and_choose", "strategy=hybrid_pipeline", "planner=simulate_and_choose",
         "planner.keep=6", "planner.time_limit_s=20"),
    _row(Plans.PIPELINES, Kind.OURS, "ilp", "strategy=hybrid_pipeline", "planner=ilp_hybrid_pipeline",
         "planner.time_limit_s=15"),
    _row(Plans.PIPELINES, Kind.OURS, "ilp_1f1b", "strategy=hybrid_pipeline", "planner=ilp_hybrid_pipeline",
         "planner.depth=one_f_one_b", "planner.time_limit_s=15"),
    _row(Plans.PIPELINES, Kind.PUBLISHED, "asteroid", "strategy=hybrid_pipeline", "planner=asteroid"),
    _row(Plans.PIPELINES, Kind.PUBLISHED, "pac", "strategy=hybrid_pipeline", "planner=pac"),
    *(_row(Plans.PIPELINES, Kind.PUBLISHED, name, "strategy=hybrid_pipeline", f"planner={name}")
      for name in ("pipedream", "dapple", "hetpipe", "eco_fl", "pipeedge")),
    _row(Plans.PIPELINES, Kind.BASELINE, "gpipe", "strategy=hybrid_pipeline", "planner=gpipe"),
    _row(Plans.PIPELINES, Kind.BASELINE, "exo", "strategy=hybrid_pipeline", "planner=exo"),
    _row(Plans.PIPELINES, Kind.BASELINE, "proportional_data", "strategy=data", "planner=proportional"),
    _row(Plans.PIPELINES, Kind.BASELINE, "proportional_pipeline", "strategy=pipeline", "planner=proportional"),
    _row(Plans.PIPELINES, Kind.BASELINE, "proportional_halves",
         "strategy=hybrid_pipeline", "groups=halves", "planner=proportional"),
    _row(Plans.PIPELINES, Kind.BASELINE, "even_data", "strategy=data", "planner=even"),
    _row(Plans.PIPELINES, Kind.BASELINE, "even_pipeline", "strategy=pipeline", "planner=even"),
    # Where it has few enough plans to try; else it declines. A stage per rank, in any order, ranks left out.
    _row(Plans.PIPELINES, Kind.ORACLE, "exhaustive_pipeline",
         "strategy=pipeline", "planner=exhaustive", "+planner.leave_out=true"),
    _row(Plans.BLOCKS, Kind.OURS, "simulate_and_choose_hybrid", "strategy=hybrid_model", "planner=simulate_and_choose"),
    *(_row(Plans.BLOCKS, Kind.OURS, f"ilp_{name}", f"strategy={strategy}", "planner=ilp_blocks",
           "planner.leave_out=true", "planner.time_limit_s=15")
      for name, strategy in (("hybrid", "hybrid_model"), ("tensor", "tensor"), ("sequence", "sequence"))),
    _row(Plans.BLOCKS, Kind.PUBLISHED, "galaxy", "method=galaxy"),
    *(_row(Plans.BLOCKS, Kind.PUBLISHED, f"{name}_request", "strategy=pipeline", f"planner={name}")
      for name in ("prima", "pipeedge")),
    _row(Plans.BLOCKS, Kind.BASELINE, "proportional_hybrid", "strategy=hybrid_model", "planner=proportional_blocks"),
    _row(Plans.BLOCKS, Kind.BASELINE, "proportional_tensor", "strategy=tensor", "planner=proportional_blocks"),
    _row(Plans.BLOCKS, Kind.BASELINE, "proportional_sequence", "strategy=sequence", "planner=proportional_blocks"),
    _row(Plans.BLOCKS, Kind.BASELINE, "even_hybrid", "strategy=hybrid_model", "planner=even_blocks"),
    _row(Plans.BLOCKS, Kind.BASELINE, "even_tensor", "method=megatron_tp"),
    _row(Plans.BLOCKS, Kind.BASELINE, "even_sequence", "method=sequence_parallel"),
    _row(Plans.BLOCKS, Kind.BASELINE, "fastest_alone", "method=local"),
)
# fmt: on
