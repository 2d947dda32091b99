"""Which planners are there, what does each need to be called, and where does it compete? As its YAML file declares.

A file of conf/planner, or of ``planner/`` in a folder given as ``--config-dir``, names a Python function and its
options, and may say three things more::

    micro_batch: best        # as its planner finds best of all sizes that divide the batch; else the workload's
    handed: [evaluate]       # what a run hands the function beside the problem; see Handed
    declares:
      plans: [pipelines]     # what its plans are: pipelines, blocks
      kind: published        # where it comes from: ours, published, baseline, oracle
      strategy: pipeline     # the one it is made for; left out where it plans for all that play its kind of plans
      purpose: infer         # the only one it plans for: train, fine_tune, infer; left out where it plans for any
      place: 70              # lower numbers are asked first, and of equal plans the first is kept; left out: last
      contends: true         # among the planners that simulate_and_choose chooses from, with the file's options ...
      contends: [{shares: even}, {shares: proportional}]      # ... or once with each of these
      bench: true            # in the bench, on the problems of its kind of plans ...
      bench: [{name: even_data, overrides: [strategy=data]}]  # ... or once with each of these overrides

What a function needs stands in its file, not in its signature: a parameter that happens to be called ``evaluate`` means
nothing, and a reader of the file sees all that the planner is given. A file that competes has no defaults list of its
own. A planner that declines raises PlanError or InfeasibleError, whose message is the reason.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from math import inf
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from edgesim.errors import reading
from edgesim.plan import Plan
from edgesim.planners.micro_batches import with_best_micro_batch
from edgesim.planners.problem import Planner
from edgesim.workload import Purpose
from experiments.configuration.command_line import DECLARES
from experiments.configuration.constructors import Config, build_function
from experiments.configuration.places import CONF


class Plans(StrEnum):
    """What a planner's plans are, and so which problems it is asked."""

    PIPELINES = "pipelines"  # of training and fine-tuning: stages of layers, and shares of samples
    BLOCKS = "blocks"  # of one request: shares of heads, columns and tokens


class Kind(StrEnum):
    """Where a planner comes from: figures draw baselines pale, summaries leave oracles out of planning times."""

    OURS = "ours"
    PUBLISHED = "published"
    BASELINE = "baseline"
    ORACLE = "oracle"


class Handed(StrEnum):
    """What a run can hand a planner, by the name of the parameter."""

    EVALUATE = "evaluate"  # simulated seconds per iteration of a plan
    MODES = "modes"  # the other power modes of devices, by name
    CONTENDERS = "contenders"  # the planners that declare to contend, ready to be asked


class MicroBatch(StrEnum):
    """Which size of micro-batches a planner plans for."""

    WORKLOAD = "workload"  # as the workload says
    BEST = "best"  # that of its best plan, among all that divide the batch


# The strategy that plays all plans of a kind; the bench takes it unless an entry names another.
_STRATEGIES = {Plans.PIPELINES: "hybrid_pipeline", Plans.BLOCKS: "hybrid_model"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfiguredPlanner:
    """A planner with its options, and what it is still to be handed."""

    function: Callable[..., Plan]
    handed: tuple[Handed, ...] = ()
    contenders: tuple["ConfiguredPlanner", ...] = ()
    micro_batch: MicroBatch = MicroBatch.WORKLOAD

    def bind(self, run: Mapping[Handed, object]) -> Planner:
        """The planner as the library knows it: a problem in, a plan out."""
        if self.contenders:
            run = {**run, Handed.CONTENDERS: tuple(each.bind(run) for each in self.contenders)}
        planner = partial(self.function, **{str(name): run[name] for name in self.handed})
        return with_best_micro_batch(planner) if self.micro_batch is MicroBatch.BEST else planner


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchEntry:
    """One row of the bench: a planner with the overrides that choose its options and the strategy that plays it."""

    name: str
    plans: Plans
    place: float
    overrides: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredPlanner:
    """What a planner's file says of it.

    Attributes:
        name: of the file, without its ending.
        configured: what the file configures: the function and its options.
        strategy: the one that it is made for; None for all that play its kind of plans.
        purpose: the only one that it plans for; None for any.
        contends: the options with which it contends, a mapping for each time.
    """

    name: str
    configured: DictConfig
    plans: tuple[Plans, ...]
    kind: Kind
    strategy: str | None
    purpose: Purpose | None
    place: float
    contends: tuple[DictConfig, ...]
    bench: tuple[BenchEntry, ...]


def build_planner(cfg: Config) -> ConfiguredPlanner:
    """The planner that a run's configuration names, with its contenders if it chooses among planners."""
    planner = _configured(cfg["planner"])
    if Handed.CONTENDERS not in planner.handed:
        return planner
    return replace(planner, contenders=tuple(contending_planners(cfg)))


def contending_planners(cfg: Config) -> Iterator[ConfiguredPlanner]:
    """Who competes for a run's plan, in the order in which they are asked, with options for the run's strategy."""
    plans = Plans.BLOCKS if "divides" in cfg else Plans.PIPELINES
    within = OmegaConf.create(OmegaConf.to_container(cfg, resolve=True) if OmegaConf.is_config(cfg) else dict(cfg))
    for declared in declared_planners(cfg["config_dirs"]):
        for options in declared.contends if plans in declared.plans else ():
            within.planner = OmegaConf.merge(declared.configured, options)  # whose options may refer to the strategy's
            contender = _configured(within.planner)
            if Handed.CONTENDERS in contender.handed:
                raise ValueError(f"planner {declared.name} chooses among contenders and cannot be one of them itself")
            yield contender


def _configured(node: Config) -> ConfiguredPlanner:
    plain = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    assert isinstance(plain, Mapping), "a planner's file is a mapping"
    options = {str(name): value for name, value in plain.items() if name not in ("handed", "micro_batch")}
    handed = plain.get("handed") or ()
    function = build_function({"planner": options}, "planner", "problem", named=handed)
    return ConfiguredPlanner(
        function=function,
        handed=tuple(Handed(name) for name in handed),
        micro_batch=MicroBatch(plain.get("micro_batch", MicroBatch.WORKLOAD)),
    )


def planner_files(folders: Sequence[str | Path] = ()) -> list[Path]:
    """The files of all planners, ours and those of further folders of configuration files."""
    return [path for folder in (CONF, *folders) for path in sorted((Path(folder) / "planner").glob("*.yaml"))]


def declared_planners(folders: Sequence[str | Path] = ()) -> list[DeclaredPlanner]:
    """All planners whose files declare something, in the order in which they are asked.

    Raises ValueError for a declaration that says something else than it can.
    """
    declared = [each for path in planner_files(folders) if (each := _declared(path)) is not None]
    return sorted(declared, key=lambda each: (each.place, each.name))


def _declared(path: Path) -> DeclaredPlanner | None:
    """The declaration in a file, if there is one."""
    cfg = OmegaConf.load(path)
    if not isinstance(cfg, DictConfig):
        raise ValueError(f"{path} is no planner's file: it holds no mapping (copy one: edgesim conf copy planner/even)")
    says = cfg.pop(DECLARES, None)
    if says is None:
        return None
    if not isinstance(says, DictConfig):
        raise ValueError(f"{path}: declares is a mapping of plans, kind and more, got {says!r}")
    if unknown := sorted(set(map(str, says)) - {"plans", "kind", "strategy", "purpose", "place", "contends", "bench"}):
        raise ValueError(f"{path}: a planner declares no {unknown[0]!r} (see experiments/configuration/planners.py)")
    try:
        plans, kind = tuple(Plans(each) for each in says.get("plans")), Kind(says.get("kind"))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: a planner declares its plans, as a list of {', '.join(Plans)}, and its kind, one of "
            f"{', '.join(Kind)} ({error})"
        ) from error
    with reading(str(path), "declaration of a planner", written_by="hand (see experiments/configuration/planners.py)"):
        place = float(says.get("place", inf))
        return DeclaredPlanner(
            name=path.stem,
            configured=cfg,
            plans=plans,
            kind=kind,
            strategy=says.get("strategy"),
            purpose=Purpose(says.purpose) if "purpose" in says else None,
            place=place,
            contends=tuple(_entries(says, "contends")),
            bench=tuple(_bench_entry(path.stem, each, plans[0], place) for each in _entries(says, "bench")),
        )


def _entries(says: DictConfig, name: str) -> list[DictConfig]:
    """``true`` is one entry that says nothing more."""
    entries = says.get(name, False)
    return list(entries) if OmegaConf.is_list(entries) else [OmegaConf.create({})] if entries else []


def _bench_entry(planner: str, entry: DictConfig, plans: Plans, place: float) -> BenchEntry:
    """An entry with what it leaves out: the name, the problems, the place, and who plays the plans."""
    plans = Plans(entry.get("plans", plans))
    overrides = tuple(str(each) for each in entry.get("overrides", ()))
    if not any(each.startswith(("strategy=", "method=")) for each in overrides):
        overrides = (f"strategy={_STRATEGIES[plans]}", *overrides)
    return BenchEntry(
        name=str(entry.get("name", planner)),
        plans=plans,
        place=float(entry.get("place", place)),
        overrides=(*overrides, f"planner={planner}"),
    )
