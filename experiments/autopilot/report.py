"""How do the rounds of an autopilot read? What each planned, what was off, and what changed from first to last."""

from collections.abc import Sequence

from rich.table import Table

from edgesim.proof import status
from edgesim.units import show
from experiments.analysis.placements import in_words
from experiments.autopilot.deviations import Deviation, Place
from experiments.autopilot.rounds import Outcome, Round
from experiments.explain.worlds import side_of
from experiments.report.page import Section, page, sentence, table
from experiments.report.run_page import ShownRun, sections_of
from experiments.tables.markdown import escape, markdown
from experiments.tables.marks import footnotes, marked
from real_runtime.other_load.foreign_load import told

ROUNDS = ("round", "measured before it", "plan", "proof", "simulated", "measured", "error", "off")
KINDS = ("task", "where", "tolerance", "first simulated", "measured", "error", "last simulated", "measured", "error")
_TEXTS = 4  # of the columns of ROUNDS
_NONE = "–"


def rounds_table(outcome: Outcome) -> Table:
    """A row per round; below, why there were no more, and what changed."""
    caption = "\n".join([*verdicts(outcome), *_disturbed(outcome.rounds)])
    out = Table(title="autopilot", caption=caption, title_justify="left", caption_justify="left")
    for place, head in enumerate(ROUNDS):
        out.add_column(head, justify="left" if place < _TEXTS or head == "off" else "right")
    for row in round_rows(outcome.rounds):
        out.add_row(*row)
    return out


def kinds_table(outcome: Outcome) -> Table:
    """What was off in any round, as it was in the first and in the last."""
    out = Table(title="what was off", title_justify="left")
    for place, head in enumerate(KINDS):
        out.add_column(head, justify="left" if place < 2 else "right")
    for row in kind_rows(outcome.rounds):
        out.add_row(*row)
    return out


def report_markdown(outcome: Outcome) -> str:
    """Both tables as a file."""
    rounds = [[escape(cell) for cell in row] for row in round_rows(outcome.rounds)]
    parts = [*verdicts(outcome), markdown(ROUNDS, rounds, texts=_TEXTS)]
    if kinds := kind_rows(outcome.rounds):
        parts.append(markdown(KINDS, [[escape(cell) for cell in row] for row in kinds], texts=2))
    return "\n\n".join([*parts, *_disturbed(outcome.rounds)]).strip() + "\n"


def report_page(outcome: Outcome, shown: Sequence[ShownRun], command: str) -> str:
    """The same for a browser, with each round's timeline, plan and terms."""
    first, last = (f"round {number}" for number in (1, len(outcome.rounds)))
    kinds = kind_rows(outcome.rounds)
    off = table(KINDS, kinds, caption="Seconds per task.") if kinds else sentence("Nothing was off in any round.")
    each = [
        Section(title=run.name, html="".join(f"<h3>{part.title}</h3>{part.html}" for part in sections_of(run, key=key)))
        for key, run in ((f"round{number}", run) for number, run in enumerate(shown, start=1))
    ]
    sections = [
        Section(title="Rounds", html=table(ROUNDS, round_rows(outcome.rounds))),
        Section(title="What was off", html=off),
        *each,
        Section(title="To make it again", html=sentence(command)),
    ]
    about = f"{first} to {last}: planned, simulated, executed; what was off is measured again"
    return page("autopilot", about, verdicts(outcome), sections)


def shown_runs(rounds: Sequence[Round]) -> list[ShownRun]:
    """What a page shows of each round: its simulated iteration, and a typical measured one."""
    return [
        ShownRun(
            name=f"round {number}",
            sides=tuple(side_of(each.run, player, player) for player in ("simulated", "measured")),
            disturbed=told(each.run.disturbed, "iterations"),
        )
        for number, each in enumerate(rounds, start=1)
    ]


def verdicts(outcome: Outcome) -> list[str]:
    """Why it ended, and what became of an iteration's measured seconds."""
    first, last = outcome.rounds[0], outcome.rounds[-1]
    rounds = len(outcome.rounds)
    said = [f"After {rounds} round{'s' * (rounds > 1)}: {outcome.ended}."]
    if rounds > 1:
        change = last.measured_s / first.measured_s - 1
        same = "the plan is the same" if last.run.plan.stages == first.run.plan.stages else "the plan has changed"
        said.append(
            f"An iteration takes {show(last.measured_s, 's')} measured, {show(first.measured_s, 's')} in round 1 "
            f"({change:+.1%}): {same}. The simulation is off by {_error(last):+.1%}, in round 1 it was by "
            f"{_error(first):+.1%}."
        )
    return said


def _error(each: Round) -> float:
    return each.simulated_s / each.measured_s - 1


def round_rows(rounds: Sequence[Round]) -> list[list[str]]:
    """For people, under :data:`ROUNDS`."""
    return [
        [
            str(number),
            each.measured,
            in_words(each.run.plan, [device.name for device in each.run.cluster.devices]),
            str(status(each.run.promised.promised.gap)),
            show(each.simulated_s, "s"),
            show(each.measured_s, "s") + marked(any(each.run.disturbed)),
            f"{_error(each):+.1%}",
            str(each.again),
        ]
        for number, each in enumerate(rounds, start=1)
    ]


def kind_rows(rounds: Sequence[Round]) -> list[list[str]]:
    """For people, under :data:`KINDS`: all that was off in any round; seconds are per task."""
    first, last = ({(each.kind, each.place): each for each in one.deviations} for one in (rounds[0], rounds[-1]))
    off = dict.fromkeys((each.kind, each.place) for one in rounds for each in one.off)
    tolerances = {(each.kind, each.place): each.tolerance for one in rounds for each in one.off}
    return [
        [
            key[0],
            where(*key, rounds[0]),
            f"{tolerances[key]:.0%}",
            *_of(first.get(key)),
            *_of(last.get(key)),
        ]
        for key in off
    ]


def _of(found: Deviation | None) -> tuple[str, str, str]:
    """What a round's plan has no task for is unknown in it."""
    if found is None:
        return (_NONE, _NONE, _NONE)
    return show(found.simulated_s, "s"), show(found.measured_s, "s"), f"{found.error:+.1%}"


def where(kind: str, place: Place, one: Round) -> str:
    """A device by its name and rank; a link or a group by its ranks."""
    names = [f"{rank} {one.run.cluster.devices[rank].name}" for rank in place]
    return (" → " if kind.startswith("SEND") else ", ").join(names)


def _disturbed(rounds: Sequence[Round]) -> list[str]:
    return footnotes(
        *(
            f"round {number}: {words}"
            for number, each in enumerate(rounds, start=1)
            if (words := told(each.run.disturbed, "iterations"))
        )
    )
