"""Do the figures of recovery and goodput show what the tables say?"""

import matplotlib.pyplot as plt
import pytest
from pandas import DataFrame

from experiments.figures.jobs import goodput_over_losses, recovery_by_policy

about = pytest.approx
SAME = {"cluster": "asteroid-c", "model": "bert-small"}


def job(policy: str, lost: str, *spans: tuple[str, float, float, float]) -> list[dict[str, object]]:
    return [
        SAME
        | {
            "policy": policy,
            "lost": lost,
            "activity": activity,
            "start_s": start_s,
            "end_s": end_s,
            "samples_per_s": rate,
            "redone": 0,
        }
        for activity, start_s, end_s, rate in spans
    ]


def lost(policy: str, rank: str, moving_s: float) -> list[dict[str, object]]:
    """Ten samples per second; a loss at 10 s that is noticed at once a second later; then eight samples per second."""
    return job(
        policy,
        rank,
        ("training", 0.0, 10.0, 10.0),
        ("detection", 10.0, 11.0, 0.0),
        ("migration", 11.0, 11.0 + moving_s, 0.0),
        ("training", 11.0 + moving_s, 30.0, 8.0),
    )


SHORT, LONG = "rank 0 (nano), stage 0 of 2, alone", "rank 1 (nano), stage 1 of 2, replicated"
TIMELINE = DataFrame(
    [*lost("lightweight", SHORT, 1), *lost("heavy", SHORT, 2), *lost("lightweight", LONG, 1), *lost("heavy", LONG, 4)]
)


def test_of_every_case_the_loss_is_drawn_after_which_heavy_rescheduling_stands_still_longest() -> None:
    ((title, rows),) = recovery_by_policy.panels(TIMELINE).items()
    assert set(rows["lost"]) == {LONG}
    assert title == "BERT-small, environment C\nrank 1 lost, which had a replica"
    assert recovery_by_policy.pause_s(rows, LONG, "heavy") == about(5)
    assert recovery_by_policy.pause_s(rows, LONG, "lightweight") == about(2)
    assert recovery_by_policy.pause_s(rows, LONG, "proven") == 0


def test_a_bar_of_training_begins_when_the_pause_ends_and_is_as_high_as_the_rate_afterwards() -> None:
    _, ax = plt.subplots()
    recovery_by_policy.draw(TIMELINE[TIMELINE["lost"] == LONG], ax)
    boxes = [c.get_paths()[0].get_extents() for c in ax.collections if c.get_label() == "training"]
    assert [box.x0 for box in boxes] == [about(2), about(5)]
    assert [box.height for box in boxes] == [about(0.8 * 8 / 10)] * 2
    assert [text.get_text().strip() for text in ax.texts] == ["8/s", "8/s"]
    plt.close("all")


def test_a_share_of_goodput_is_drawn_at_its_mean_over_seeds() -> None:
    rows = DataFrame(
        [
            SAME
            | {
                "policy": policy,
                "mean_between_iterations": mean,
                "seed": seed,
                "status": "done",
                "share_of_undisturbed": share + 0.1 * seed,
            }
            for policy in recovery_by_policy.POLICIES
            for mean, share in ((10, 0.5), (100, 0.8))
            for seed in (0, 1)
        ]
    )
    _, ax = plt.subplots()
    goodput_over_losses.draw(rows, ax)
    drawn = {c.get_label(): list(c[0].get_ydata()) for c in ax.containers}
    assert drawn == {policy: about([0.55, 0.85]) for policy in recovery_by_policy.POLICIES}
    plt.close("all")
