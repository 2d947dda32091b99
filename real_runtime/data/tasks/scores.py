"""How well are questions answered? Accuracy, F1 and Pearson's correlation, as GLUE asks for them."""

from collections.abc import Sequence

import numpy as np

from real_runtime.data.tasks.examples import Score, Task


def scored(task: Task, given: Sequence[float], right: Sequence[int]) -> dict[Score, float]:
    """Return the task's scores of answers, which are numbers of answers, or values on the task's scale.

    Raises ValueError for another number of answers, for none, and for those whose correlation is undefined.
    """
    if len(given) != len(right) or not right:
        raise ValueError(f"{task.name}: {len(given)} answers for {len(right)} questions")
    truth = [task.values[each] for each in right] if task.values else list(right)
    return {score: _SCORES[score](given, truth) for score in task.scores}


def accuracy(given: Sequence[float], right: Sequence[float]) -> float:
    """Return the share of answers that are right.

    >>> accuracy([0, 1, 1, 0], [0, 1, 0, 0])
    0.75
    """
    return float(np.mean(np.asarray(given) == np.asarray(right)))


def f1(given: Sequence[float], right: Sequence[float]) -> float:
    """Return the harmonic mean of precision and recall of answer 1; 0 where neither says 1.

    >>> f1([0, 1, 1, 0], [0, 1, 0, 1])
    0.5
    """
    said, true = np.asarray(given) == 1, np.asarray(right) == 1
    either = said.sum() + true.sum()
    return float(2 * (said & true).sum() / either) if either else 0.0


def pearson(given: Sequence[float], right: Sequence[float]) -> float:
    """Return the correlation of answers with what is right. Raises ValueError where either does not vary.

    >>> round(pearson([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]), 6)
    1.0
    """
    said, true = (np.asarray(each, dtype=np.float64) for each in (given, right))
    said, true = said - said.mean(), true - true.mean()
    scale = np.sqrt(np.vdot(said, said) * np.vdot(true, true))
    if not scale > 0:
        raise ValueError("a correlation needs answers that differ, and here all are alike")
    return float(np.vdot(said, true) / scale)


_SCORES = {Score.ACCURACY: accuracy, Score.F1: f1, Score.PEARSON: pearson}
