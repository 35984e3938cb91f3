"""Language Models (Mostly) Know What They Know (arXiv 2207.05221): P(True) of one's answers, P(IK) of a question.

Calibration itself is `elenchus.metrics.calibration`. Beside each Brier score stands that of the constant prediction,
for Brier scores are dominated by base rates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from elenchus.metrics import calibration
from elenchus.metrics.published.ranking import auroc

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class SelfKnowledge:
    """brier_constant: of always predicting the base rate. accuracy_above: among those above the cut; NaN where none is."""

    accuracy: float
    accuracy_above: float
    share_above: float
    brier: float
    brier_constant: float
    ece: float
    auroc: float


def p_true(logprob_true: ArrayLike, logprob_false: ArrayLike) -> np.ndarray:
    """Return P(True) = p(A) / (p(A) + p(B)) from log-probabilities of the two options.

    Several spellings of an option (" (A)", "(A)", "A") stand on the last axis and are summed: shapes (n,) or
    (n, spellings).
    """

    def total(x: ArrayLike) -> np.ndarray:
        x = np.asarray(x, dtype=float)
        return x if x.ndim == 1 else np.logaddexp.reduce(x, axis=-1)

    return np.exp(-np.logaddexp(0.0, total(logprob_false) - total(logprob_true)))


def evaluate(probability: ArrayLike, right: ArrayLike, cut: float = 0.5) -> SelfKnowledge:
    """Return how good P(True) is on answers whose rightness is known; both (n,), n >= 1."""
    p, y = np.asarray(probability, dtype=float), np.asarray(right, dtype=bool)
    above, base = p > cut, float(y.mean())
    return SelfKnowledge(
        base,
        float(y[above].mean()) if above.any() else float("nan"),
        float(above.mean()),
        calibration.brier(p, y),
        base * (1 - base),
        calibration.ece(p, y),
        auroc(y, p),
    )


def p_ik_truth(right: ArrayLike) -> np.ndarray:
    """Return the ground truth of P(IK), the share of right samples of each question; right: (questions, samples)."""
    return np.asarray(right, dtype=float).mean(axis=1)


def evaluate_p_ik(predicted: ArrayLike, right: ArrayLike, known: float = 0.5) -> dict[str, float]:
    """Return brier, brier_constant and auroc of predicted P(IK), (questions,), against samples (questions, samples).

    Brier is over samples, as the training's cross-entropy is: each sample counts as "I know" or not. For AUROC a question
    is known where more than `known` of its samples are right (the paper: 0.5, for GSM8K 0.25).
    """
    p, samples = np.asarray(predicted, dtype=float), np.asarray(right, dtype=bool)
    base = float(samples.mean())
    brier = float(np.mean((p[:, None] - samples) ** 2))
    return {"brier": brier, "brier_constant": base * (1 - base), "auroc": auroc(p_ik_truth(samples) > known, p)}
