"""How does a run read as a page? Verdict, figures, timeline, plan, where the seconds are, where numbers come from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from edgesim.cluster import by_rail_j
from edgesim.energy import STATES
from edgesim.metrics import Metrics
from edgesim.trace import Trace
from edgesim.units import show
from experiments.explain.bounds import Bounds, bounds_of
from experiments.explain.explanation import Explanation, explain_sides
from experiments.explain.tables import percent
from experiments.explain.verdicts import bound, verdict
from experiments.explain.waterfall import differences_figure, terms_figure
from experiments.explain.worlds import Side, World
from experiments.report.page import Cell, Section, figure, note, page, sentence, table, timeline, verbatim
from experiments.report.plan_drawing import plan_svg
from experiments.report.sources import HEADS, of_players, of_world
from experiments.report.tracks import timeline_data

PAGE = "report.html"


@dataclass(frozen=True, kw_only=True)
class ShownRun:
    """What a page shows of a run.

    Attributes:
        sides: the simulated trace, and a measured one where there is one; what was simulated, where that is known.
        config: the whole configuration, as YAML.
        versions: what it was made with.
        command: what to type to make it again.
        disturbed: in words, what other programs took meanwhile.
    """

    name: str
    sides: tuple[Side, ...]
    config: str = ""
    versions: str = ""
    command: str = ""
    disturbed: str = ""

    @property
    def traces(self) -> list[Trace]:
        """Of each player one."""
        return [side.trace for side in self.sides]


def verdicts_of(run: ShownRun) -> list[str]:
    """What bounds it; and if it was measured, how far the simulation is off, and why."""
    said = [bound(bounds_of(replace(run.sides[-1], name=run.name), replans=False))]
    if len(run.sides) > 1:
        said.append(verdict(explain_sides(*(replace(side, name=side.trace.player) for side in run.sides[:2]))))
    return said


def page_of(run: ShownRun, about: str) -> str:
    """The page of one run."""
    return page(run.name, about, verdicts_of(run), [*sections_of(run), _sources(run), *_made(run)])


def page_of_ways(name: str, runs: Sequence[ShownRun], config: str, versions: str, command: str) -> str:
    """The page of several ways to do the same: which is the fastest, why the others are not, then each by itself."""
    order = sorted(runs, key=lambda run: run.sides[-1].trace.makespan_s)
    sides = [replace(run.sides[-1], name=run.name) for run in order]
    verdicts = [bound(bounds_of(sides[0], replans=False))]
    verdicts += [verdict(explain_sides(sides[0], side)) for side in sides[1:]]
    sections = [
        Section(title=run.name, html="".join(f"<h3>{part.title}</h3>{part.html}" for part in sections_of(run, key=key)))
        for key, run in ((f"way{number}", run) for number, run in enumerate(order))
    ]
    made = replace(order[0], config=config, versions=versions, command=command)
    return page(name, f"{len(runs)} ways, the fastest first", verdicts, [*sections, _sources(made), *_made(made)])


def sections_of(run: ShownRun, *, key: str = "run") -> list[Section]:
    """All that is told of a run; the key tells its timeline from others on the page."""
    side = replace(run.sides[-1], name=run.name)
    bounds = bounds_of(side, replans=False)
    sections = [
        Section(title="Figures", html=_figures(run)),
        Section(title="Timeline", html=_timeline(run, key)),
        Section(title="Where the seconds are", html=_seconds(bounds)),
    ]
    if side.world is not None:
        sections.insert(2, Section(title="Plan", html=plan_svg(side.world) + sentence(str(side.world.plan))))
    if len(run.sides) > 1:
        sections.append(Section(title="Simulated and measured", html=_players(run)))
    sections.append(Section(title="Tasks", html=_tasks(run.traces)))
    return sections


def _figures(run: ShownRun) -> str:
    world = run.sides[0].world
    if world is None:
        return sentence(f"Seconds alone are known of this run: {run.sides[0].unknown}.")
    metrics = [world.setup.measure(trace) for trace in run.traces]
    rows = [_of_metrics(m) for m in metrics]
    heads = ("player", "seconds", "samples/s", "bubble", "sent", "energy", "energy/sample", "EDP", "memory")
    states = [s for s in STATES if any(joules[s] for m in metrics for joules in m.energy_by_state_j)]
    by_rank = [
        (
            m.player,
            f"{rank} {device.name}",
            Cell(text=f"{100 * m.utilisation[rank]:.1f} %", value=m.utilisation[rank]),
            Cell(text=show(m.sent_bytes[rank], "B"), value=m.sent_bytes[rank]),
            Cell(text=show(m.peak_bytes[rank], "B"), value=m.peak_bytes[rank]),
            *(Cell(text=show(joules[s], "J"), value=joules[s]) for s in states),
        )
        for m in metrics
        for rank, (device, joules) in enumerate(zip(world.setup.cluster.devices, m.energy_by_state_j, strict=True))
    ]
    ranks = ("player", "device", "computes", "sent", "memory", *states)
    watts = (
        f"One iteration; energy is computed from times and watts ({metrics[0].energy_source}), memory from the plan."
    )
    disturbed = note(run.disturbed) if run.disturbed else ""
    whole = table(heads, rows, caption=watts)
    return whole + table(ranks, by_rank, caption="By device; joules by state.") + _rails(metrics, world) + disturbed


def _rails(metrics: Sequence[Metrics], world: World) -> str:
    """Joules by rail of the devices whose rails are known; nothing where none are."""
    rows = [
        (m.player, f"{rank} {device.name}", rail, Cell(text=show(joules, "J"), value=joules))
        for m in metrics
        for rank, (device, states) in enumerate(zip(world.setup.cluster.devices, m.energy_by_state_j, strict=True))
        for rail, joules in by_rail_j(states, device.power.rails).items()
    ]
    caption = "Joules by rail, shared out as the devices' files say; they are computed, no rail was read."
    return table(("player", "device", "rail", "energy"), rows, caption=caption) if rows else ""


def _of_metrics(m: Metrics) -> list[Cell | str]:
    return [
        m.player,
        Cell(text=show(m.makespan_s, "s"), value=m.makespan_s),
        Cell(text=f"{m.samples_per_s:.4g}", value=m.samples_per_s),
        Cell(text=f"{100 * m.bubble:.1f} %", value=m.bubble),
        Cell(text=show(sum(m.sent_bytes), "B"), value=float(sum(m.sent_bytes))),
        Cell(text=show(m.energy_j, "J"), value=m.energy_j),
        Cell(text=show(m.energy_per_sample_j, "J"), value=m.energy_per_sample_j),
        Cell(text=show(m.edp_js, "Js"), value=m.edp_js),
        Cell(text=show(max(m.peak_bytes), "B"), value=max(m.peak_bytes)),
    ]


def _timeline(run: ShownRun, key: str) -> str:
    world = run.sides[0].world
    names = [f"rank {rank}" for rank in range(run.traces[0].schedule.ranks)]
    if world is not None:
        names = [f"{rank} {device.name}" for rank, device in enumerate(world.setup.cluster.devices)]
    data = timeline_data(run.traces, names, None if world is None else world.setup)
    return timeline(key, data) + note(
        "Wheel, + and - zoom; dragging and arrows pan; Home shows all; n and p walk along the critical path (outlined)."
    )


def _seconds(bounds: Bounds) -> str:
    whole_s = bounds.side.trace.makespan_s

    def seconds(value: float) -> tuple[Cell, Cell]:
        return Cell(text=show(value, "s"), value=value), Cell(text=percent(value, whole_s), value=value)

    terms = table(
        ("term", "where", "seconds", "of it"),
        [(str(t.cause), t.where, *seconds(t.seconds)) for t in sorted(bounds.terms, key=lambda t: -t.seconds)],
        caption="Terms add up to the makespan.",
    )
    path = table(
        ("on the critical path", "where", "seconds", "of it"),
        [(str(t.cause), t.where, *seconds(t.seconds)) for t in bounds.path],
        caption="The critical path: each step waits for the one before.",
    )
    how = "simulated" if bounds.simulated else "the trace played again"
    gains = table(
        ("with 10 % more of", "where", "saves", "of it", "and"),
        [(gain.what, gain.where, *seconds(gain.saves_s), gain.detail) for gain in bounds.gains],
        caption=f"The next best investment ({how}).",
    )
    drawn = figure(terms_figure(bounds), "Where the seconds are: each bar begins where the one above it ends.")
    return drawn + terms + path + gains


def _players(run: ShownRun) -> str:
    explanation = explain_sides(*(replace(side, name=side.trace.player) for side in run.sides[:2]))
    return figure(differences_figure(explanation), explanation.how) + shares(explanation)


def shares(explanation: Explanation) -> str:
    """What makes a difference, as a table."""
    rows = [
        (
            share.what,
            share.where,
            Cell(text=show(share.seconds, "s"), value=share.seconds),
            Cell(text=percent(share.seconds, explanation.more_s), value=share.seconds),
            share.detail,
        )
        for share in explanation.shares
    ]
    return table(("cause", "where", "adds", "of it", "how it differs"), rows, caption=explanation.how)


def _tasks(traces: Sequence[Trace]) -> str:
    rows = [row for trace in traces for row in _by_operation(trace)]
    return table(("player", "rank", "operation", "tasks", "seconds", "shortest", "longest"), rows)


def _by_operation(trace: Trace) -> Iterator[tuple[Cell | str, ...]]:
    for rank, spans in enumerate(trace.ranks):
        names = spans.each(lambda kind: f"{kind.op} {kind.payload or ''}".strip(), object)
        lasts_s = spans.end_s - spans.start_s
        for name in sorted(set(names.tolist())):
            own = lasts_s[names == name]
            amounts = [Cell(text=show(float(s), "s"), value=float(s)) for s in (own.sum(), own.min(), own.max())]
            where, many = Cell(text=str(rank), value=rank), Cell(text=str(len(own)), value=len(own))
            where, many = Cell(text=str(rank), value=rank), Cell(text=str(len(own)), value=len(own))
            yield trace.player, where, name, many, *amounts


def _sources(run: ShownRun) -> Section:
    world = run.sides[0].world
    rows = [*of_players([trace.player for trace in run.traces]), *(of_world(world) if world is not None else ())]
    return Section(title="Where numbers come from", html=table(HEADS, rows))


def _made(run: ShownRun) -> Iterator[Section]:
    parts = []
    if run.command:
        parts.append(verbatim(run.command))
    if run.versions:
        parts.append(verbatim(run.versions, summary="Versions"))
    if run.config:
        parts.append(verbatim(run.config, summary="The whole configuration"))
    if parts:
        yield Section(title="To make it again", html="".join(parts))
