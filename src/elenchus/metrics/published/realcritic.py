"""RealCritic (arXiv 2501.14492): a critique is worth what the correction is worth that it leads to.

Self-critique takes a model's own solutions and compares with their accuracy; cross-critique takes a fixed pool of other
models' solutions and compares with the pool's accuracy (the paper subtracts 50; a pool of odd size is not quite
balanced, so its own accuracy is subtracted here); iterative critique scores every turn against the first solution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from elenchus.metrics.correction import flips


@dataclass(frozen=True)
class ClosedLoop:
    """What corrections did, all as rates in [0, 1]; NaN: c2c, c2i where nothing was right, i2c, i2i where nothing was wrong.

    before, acc: accuracy of the solutions and of the corrections. delta = acc - before.
    c2c + c2i = 1 over solutions that were right, i2c + i2i = 1 over those that were wrong.
    """

    before: float
    acc: float
    delta: float
    c2c: float
    c2i: float
    i2c: float
    i2i: float
    items: int


def closed_loop(before: Sequence[bool], after: Sequence[bool]) -> ClosedLoop:
    """Return the scores of corrections `after` of solutions `before` (rightness, one entry an item); ValueError for none."""
    if not len(before):
        raise ValueError("no items")
    share = flips(before, after)
    right = share["right_to_right"] + share["right_to_wrong"]
    wrong = 1.0 - right

    def of(part: str, whole: float) -> float:
        return share[part] / whole if whole > 1e-12 else float("nan")

    acc = share["right_to_right"] + share["wrong_to_right"]
    return ClosedLoop(
        right,
        acc,
        acc - right,
        of("right_to_right", right),
        of("right_to_wrong", right),
        of("wrong_to_right", wrong),
        of("wrong_to_wrong", wrong),
        len(before),
    )


def iterative(before: Sequence[bool], turns: Sequence[Sequence[bool]]) -> list[ClosedLoop]:
    """Return the scores of every turn of critique, each against the first solutions, never against the turn before."""
    return [closed_loop(before, turn) for turn in turns]


def average(tasks: Mapping[str, ClosedLoop]) -> dict[str, float]:
    """Return the plain mean over tasks of accuracy and delta."""
    return {key: float(np.mean([getattr(t, key) for t in tasks.values()])) for key in ("acc", "delta")}
