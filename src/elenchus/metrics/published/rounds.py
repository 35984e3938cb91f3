"""Rounds of self-correction, free text against multiple choice (arXiv 2511.09381): accuracy, oracle stop and flips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Rounds:
    """Arrays over rounds 0 .. K, rates of all items; flips of round 0 are 0.

    cumulative: right in at least one round so far. It needs an oracle that stops: never a system's accuracy.
    accuracy[k] = accuracy[k - 1] + correct_flips[k] - incorrect_flips[k].
    """

    accuracy: np.ndarray
    cumulative: np.ndarray
    correct_flips: np.ndarray
    incorrect_flips: np.ndarray


def by_round(right: ArrayLike) -> Rounds:
    """Return the course of self-correction; right: (items, rounds) bools, round 0 the first answer."""
    y = np.asarray(right, dtype=bool)
    if y.ndim != 2 or not y.size:
        raise ValueError(f"rightness must have shape (items, rounds), not {y.shape}")
    before = np.concatenate([y[:, :1], y[:, :-1]], axis=1)
    return Rounds(
        y.mean(axis=0),
        np.logical_or.accumulate(y, axis=1).mean(axis=0),
        (~before & y).mean(axis=0),
        (before & ~y).mean(axis=0),
    )
