"""How does training go on after the loss of a device, under each policy? What it is at, over seconds since the loss.

Of every case the loss is drawn after which heavy rescheduling stands still longest. A bar of training is as high as the
samples per second are afterwards, of those before the loss; "5 again" are iterations that are redone.
"""

from matplotlib.axes import Axes
from pandas import DataFrame

from edgesim.job import Activity
from experiments.analysis.names import reader_name
from experiments.figures.jobs.timeline import PAUSES
from experiments.figures.style import BLUE, SMALL_PT

COLUMNS = ("cluster", "model", "policy", "lost", "activity", "start_s", "end_s", "samples_per_s", "redone")
PANEL_IN = 2.0
POLICIES = ("lightweight", "heavy", "restart", "proven")
_AFTER = 1.45  # times the longest pause that the axis shows
_HIGH = 0.8  # of a row, as high as training before the loss


def panels(table: DataFrame) -> dict[str, DataFrame]:
    """One for each model and cluster, of one loss."""
    parts = {}
    for (model, cluster), rows in table.groupby(["model", "cluster"], sort=False):
        longest = max(rows["lost"].unique(), key=lambda lost: pause_s(rows, lost, "heavy"))
        title = f"{reader_name(str(model), 'model')}, {reader_name(str(cluster), 'cluster')}\n{_short(longest)}"
        parts[title] = rows[rows["lost"] == longest]
    return parts


def pause_s(rows: DataFrame, lost: str, policy: str) -> float:
    """From a loss until training goes on; 0 of a policy that did not go on."""
    mine = rows[(rows["lost"] == lost) & (rows["policy"] == policy)]
    if mine.empty:
        return 0.0
    lost_s = loss_s(mine)
    return float(mine.loc[_trains_again(mine, lost_s), "start_s"].min() - lost_s)


def loss_s(rows: DataFrame) -> float:
    """When the device of one job is lost: from then on nobody knows yet."""
    return float(rows.loc[rows["activity"] == Activity.DETECTION, "start_s"].min())


def draw(rows: DataFrame, ax: Axes) -> None:
    """A row per policy."""
    lost = rows["lost"].iloc[0]
    there = [policy for policy in POLICIES if (rows["policy"] == policy).any()]
    until_s = _AFTER * max(pause_s(rows, lost, policy) for policy in there)
    for place, policy in enumerate(there):
        _draw_job(ax, rows[rows["policy"] == policy], place, until_s)
    ax.set_yticks(range(len(there)), there)
    ax.set_ylim(len(there) - 0.4, -0.6)
    ax.set_xlim(0, until_s)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("time since the loss (s)")


def _draw_job(ax: Axes, job: DataFrame, place: int, until_s: float) -> None:
    lost_s = loss_s(job)
    before = job[(job["activity"] == Activity.TRAINING) & (job["end_s"] <= lost_s)]["samples_per_s"].max()
    again = _trains_again(job, lost_s)
    for activity, colour in PAUSES.items():
        # A checkpoint, and work that is lost, belong to training.
        mine = job[(job["activity"] == activity) & (job["start_s"] >= lost_s)]
        bars = [(start - lost_s, end - start) for start, end in zip(mine["start_s"], mine["end_s"], strict=True)]
        bars = [bar for bar in bars if bar[0] < until_s and activity != Activity.CHECKPOINT]
        if bars:
            ax.broken_barh(bars, (place - _HIGH / 2, _HIGH), facecolor=colour, label=str(activity), linewidth=0)
    after, seconds = job[again], (job["end_s"] - job["start_s"])[again]
    rate = float((after["samples_per_s"] * seconds).sum() / seconds.sum())
    high, start_s = _HIGH * rate / before, float(after["start_s"].min()) - lost_s
    bottom = place + _HIGH / 2
    bar = [(start_s, until_s - start_s)]
    ax.broken_barh(bar, (bottom - high, high), facecolor=BLUE, label="training", linewidth=0, alpha=0.85)
    redone = int(after["redone"].sum())
    said = f"{rate:.3g}/s" + (f", {redone} again" if redone else "")
    ax.text(until_s, bottom, f"{said} ", ha="right", va="bottom", color="white", fontsize=SMALL_PT - 1)


def _trains_again(job: DataFrame, lost_s: float) -> "DataFrame":
    return (job["activity"] == Activity.TRAINING) & (job["start_s"] >= lost_s)  # type: ignore[return-value]


def _short(lost: str) -> str:
    """``rank 5 (jetson-nano), stage 2 of 3, alone`` as ``rank 5 lost, which had its stage alone``."""
    rank, _, rest = lost.partition(" (")
    return f"{rank} lost, which {'had its stage alone' if rest.endswith('alone') else 'had a replica'}"
