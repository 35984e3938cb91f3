"""Self-correction: how often a second answer keeps what was right and mends what was wrong.

Source: "Confidence v.s. Critique" (arXiv 2412.19513), equations for Acc1, Acc2, CL, CS and RSS; the four flip shares
carry the same facts (SCoRe's and Critique-RL's i->c = wrong_to_right, c->i = right_to_wrong).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

FLIPS = ("right_to_right", "right_to_wrong", "wrong_to_right", "wrong_to_wrong")


@dataclass(frozen=True)
class Decomposition:
    """Accuracy before (acc1) and after (acc2), confidence level, critique score and relative score.

    acc2 = acc1 cl + (1 - acc1) cs. NaN: cl where nothing was right, cs where nothing was wrong, rss in both cases.
    """

    acc1: float
    acc2: float
    cl: float
    cs: float
    rss: float


def flips(before: ArrayLike, after: ArrayLike) -> dict[str, float]:
    """Return the four shares of all attempts, by rightness before and after; they add up to 1.

    before, after: (n,) bools, n >= 1.
    """
    a, b = np.asarray(before, dtype=bool), np.asarray(after, dtype=bool)
    cells = (a & b, a & ~b, ~a & b, ~a & ~b)
    return {name: float(cell.mean()) for name, cell in zip(FLIPS, cells, strict=True)}


def decompose(p_first: ArrayLike, p_keep: ArrayLike, p_fix: ArrayLike) -> Decomposition:
    """Return the data set's decomposition from each problem's probabilities, all of shape (problems,).

    p_first: P(a), the first answer is right. p_keep: P(b|a), the second is right after a right one. p_fix: P(b|not a).
    CL and CS weight problems by P(a) and 1 - P(a); they are not plain means.
    """
    a, keep, fix = (np.asarray(x, dtype=float) for x in (p_first, p_keep, p_fix))
    acc1, acc2 = float(a.mean()), float((a * keep + (1 - a) * fix).mean())
    cl = float((a * keep).sum() / a.sum()) if a.sum() else float("nan")
    cs = float(((1 - a) * fix).sum() / (1 - a).sum()) if (1 - a).sum() else float("nan")
    return Decomposition(acc1, acc2, cl, cs, float(rss(acc1, acc2)))


def by_sampling(problem: ArrayLike, before: ArrayLike, after: ArrayLike) -> Decomposition:
    """Return the decomposition estimated from samples: K first answers a problem and one revision of each.

    problem: (n,) whose attempt it is. before, after: (n,) bools. P(b|a) is 0 where no first answer of the problem is
    right and P(b|not a) is 0 where none is wrong; both then have weight 0.
    """
    return decompose(*problem_probabilities(problem, before, after))


def problem_probabilities(
    problem: ArrayLike, before: ArrayLike, after: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return P(a), P(b|a) and P(b|not a) of each different problem, in sorted order of problems."""
    names, at = np.unique(np.asarray(problem), return_inverse=True)
    a, b = np.asarray(before, dtype=bool), np.asarray(after, dtype=bool)

    def count(mask: np.ndarray) -> np.ndarray:
        return np.bincount(at, weights=mask, minlength=len(names))

    total, right = count(np.ones_like(a)), count(a)
    wrong = total - right
    return right / total, count(a & b) / np.maximum(right, 1), count(~a & b) / np.maximum(wrong, 1)


def by_logits(first: ArrayLike, second: ArrayLike, gold: ArrayLike) -> Decomposition:
    """Return the exact decomposition where answers are labels whose distributions can be read.

    first: (n, labels), the distribution p1 of the first answer. second: (n, labels, labels), second[i, y] the
    distribution of the second answer when y stands as the first. gold: (n,), the right label's index.
    """
    p1, p2, g = np.asarray(first, dtype=float), np.asarray(second, dtype=float), np.asarray(gold)
    rows = np.arange(len(g))
    to_gold = p2[rows, :, g]  # (n, labels): P(second answer is right | first answer y)
    a, keep = p1[rows, g], to_gold[rows, g]
    fixed = (p1 * to_gold).sum(axis=1) - a * keep
    return decompose(a, keep, np.divide(fixed, 1 - a, out=np.zeros_like(a), where=a < 1))


def rss(acc1: ArrayLike, acc2: ArrayLike) -> np.ndarray | float:
    """Return the relative self-correction score (Acc2 - Acc1^2) / (2 Acc1 (1 - Acc1)); NaN where Acc1 is 0 or 1.

    0.5 means that revision changes nothing on balance. It leaves [0, 1] where CS <= Acc1 <= CL does not hold.
    """
    a, b = np.asarray(acc1, dtype=float), np.asarray(acc2, dtype=float)
    room = 2 * a * (1 - a)
    return np.divide(b - a**2, room, out=np.full(np.broadcast(a, b).shape, np.nan), where=room > 0)
