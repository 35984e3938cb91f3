"""Every metric by name: what it says, its range, which way is better, and the ratios that it is computed from.

Evaluations store *parts*: ratios with a value and a weight for each problem (table `items`). A metric is its own part,
or a function of several parts, so that its bootstrap draws problems once for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from elenchus.errors import UserError, did_you_mean
from elenchus.metrics import calibration, correction
from elenchus.metrics.bootstrap import Statistic, one

UNIT = (0.0, 1.0)
GAPS = tuple(f"calibration_gap_{b}" for b in range(calibration.BINS))


@dataclass(frozen=True)
class Metric:
    """A metric's facts. better: "higher", "lower" or "" where neither is. parts: () means the metric itself."""

    says: str
    better: str = "higher"
    bounds: tuple[float, float] | None = UNIT
    parts: tuple[str, ...] = ()
    statistic: Statistic = one


def harmonic(ratios: np.ndarray) -> np.ndarray:
    """Return the harmonic mean of two ratios (..., 2), 0 where both are 0."""
    top, bottom = 2 * ratios[..., 0] * ratios[..., 1], ratios[..., 0] + ratios[..., 1]
    return np.where(bottom == 0, 0.0, top / np.where(bottom == 0, 1.0, bottom))


def mean(ratios: np.ndarray) -> np.ndarray:
    """Return the mean of several ratios (..., n)."""
    return ratios.mean(axis=-1)


def gain(ratios: np.ndarray) -> np.ndarray:
    """Return the second ratio less the first."""
    return ratios[..., 1] - ratios[..., 0]


def relative_gain(ratios: np.ndarray) -> np.ndarray:
    """Return RSS of (Acc1, Acc2)."""
    return correction.rss(ratios[..., 0], ratios[..., 1])


def absolute_sum(ratios: np.ndarray) -> np.ndarray:
    """Return the sum of the ratios' absolute values (expected calibration error from its bins' gaps)."""
    return np.abs(ratios).sum(axis=-1)


METRICS: dict[str, Metric] = {
    # a policy; a number follows "@"
    "accuracy": Metric("share of solutions with the right answer"),
    "pass@": Metric("chance that k samples hold a right answer, or s different right solutions (pass@k-s)"),
    "majority@": Metric("chance that the most frequent answer of k samples is right, ties broken at random"),
    "filtered_majority@": Metric(
        "majority@k of those samples alone that the critic does not call wrong, of all where none is left (RefCritic)"
    ),
    "filtered_gain@": Metric("filtered_majority@k less majority@k, on the same samples", bounds=(-1.0, 1.0)),
    "filtered_growth@": Metric("filtered_gain@k less filtered_gain@s (filtered_growth@k-s)", bounds=(-2.0, 2.0)),
    "best@": Metric("chance that the best-scored of k samples is right"),
    "reward@": Metric("chance that the s best-scored of k samples are all right (reward@k-s)"),
    "diversity": Metric("share of different steps among the steps of a problem's right solutions"),
    "sound": Metric("share of right-answered solutions in which every step is right"),
    "parsed": Metric("share of solutions that keep to the format"),
    "tokens": Metric("tokens of a solution", "lower", None),
    # an agent
    "score": Metric("what an episode is worth: 1 by a shortest way, less by longer ones, 0 without the goal"),
    "actions": Metric("actions of an episode", "lower", None),
    "loop_rate": Metric("share of an episode's pairs of successive actions that it has made before", "lower"),
    "detected": Metric("share of erroneous episodes in which a revision signal follows the first wrong action"),
    "detection_delay": Metric(
        "steps from the first wrong action to the revision signal after it, to the end where none comes", "lower", None
    ),
    "needless_signals": Metric("share of episodes with a revision signal before any wrong action", "lower"),
    # a critic
    "acc_error": Metric("share of erroneous solutions whose first wrong step is named"),
    "acc_correct": Metric("share of sound solutions in which no error is found"),
    "first_error_f1": Metric(
        "harmonic mean of the two (ProcessBench)", parts=("acc_error", "acc_correct"), statistic=harmonic
    ),
    "vote_acc_error": Metric("acc_error of the majority of a solution's critiques"),
    "vote_acc_correct": Metric("acc_correct of the majority of a solution's critiques"),
    "vote_first_error_f1": Metric(
        "first-error F1 of the majority of a solution's critiques",
        parts=("vote_acc_error", "vote_acc_correct"),
        statistic=harmonic,
    ),
    "verdict_accuracy": Metric("share of critiques whose overall verdict is that of the answer checker"),
    "verdict_accuracy_right": Metric("verdict accuracy on right solutions"),
    "verdict_accuracy_wrong": Metric("verdict accuracy on wrong solutions"),
    "unit_precision": Metric("share of the flagged steps that are wrong"),
    "unit_recall": Metric("share of the wrong steps that are flagged"),
    "unit_f1": Metric("harmonic mean of the two", parts=("unit_precision", "unit_recall"), statistic=harmonic),
    "fix_accuracy": Metric("share of the wrong and flagged steps whose right result the critique names"),
    "critiques_parsed": Metric("share of critiques that can be read"),
    "critique_tokens": Metric("tokens of a critique", "lower", None),
    "brier": Metric("mean squared gap of confidence and the verdict being right", "lower"),
    "ece": Metric(
        "expected calibration error of the confidence in the verdict", "lower", parts=GAPS, statistic=absolute_sum
    ),
    # preference pairs
    "pair_accuracy": Metric("share of pairs whose chosen critique is truly the better one, by exact severity"),
    # a critic of single steps
    "step_recall_wrong": Metric("share of the wrong steps that are called bad"),
    "step_recall_right": Metric("share of the right steps that are called good"),
    "step_balanced_accuracy": Metric(
        "mean of the recalls on wrong and on right steps",
        parts=("step_recall_wrong", "step_recall_right"),
        statistic=mean,
    ),
    "step_harmonic": Metric(
        "harmonic mean of the two", parts=("step_recall_wrong", "step_recall_right"), statistic=harmonic
    ),
    "judgements_parsed": Metric("share of judgements that can be read"),
    # games against it
    "sneaks_valid": Metric("share of the generator's steps that are errors"),
    "sneaks_won": Metric("share of the generator's steps that are errors and pass the critic"),
    # what search trees teach
    "step_pair_accuracy": Metric("share of step pairs whose chosen side is right and whose rejected side is wrong"),
    "step_pair_inverted": Metric(
        "share of step pairs whose chosen side is wrong and whose rejected side is right", "lower"
    ),
    "step_pair_smoothing": Metric("mean label smoothing of step pairs", ""),
    "value_rank": Metric(
        "rank correlation of inferred step values with those by true distance, within a problem", bounds=(-1.0, 1.0)
    ),
    "value_gap": Metric("mean absolute gap of inferred step values and those by true distance", "lower"),
    # a correction
    "acc1": Metric("accuracy before"),
    "acc2": Metric("accuracy after"),
    "delta": Metric("accuracy after less before", bounds=(-1.0, 1.0), parts=("acc1", "acc2"), statistic=gain),
    "cl": Metric("confidence level: right answers that stay right"),
    "cs": Metric("critique score: wrong answers that become right"),
    "rss": Metric(
        "relative self-correction score, 0.5 is no change", bounds=None, parts=("acc1", "acc2"), statistic=relative_gain
    ),
    "right_to_right": Metric("share of attempts right before and after"),
    "right_to_wrong": Metric("share of attempts that revision spoils (D c->i)", "lower"),
    "wrong_to_right": Metric("share of attempts that revision mends (D i->c)"),
    "wrong_to_wrong": Metric("share of attempts wrong before and after", "lower"),
    "prefix_kept": Metric("share of erroneous solutions whose steps before the first error are kept"),
    "error_repaired": Metric(
        "share of erroneous solutions whose first wrong step is right afterwards, and those before it"
    ),
    "refinements_parsed": Metric("share of refinements that keep to the format"),
    "refinement_tokens": Metric("tokens of a refinement", "lower", None),
}
NUMBERED = re.compile(r"^(pass|majority|filtered_majority|filtered_gain|filtered_growth|best|reward)@\d+(-\d+)?$")


def find(name: str) -> Metric:
    """Return the facts of metric `name` ("pass@8" is found as "pass@"); UserError where there is none."""
    key = f"{name.split('@')[0]}@" if NUMBERED.match(name) else name
    if key not in METRICS or key.endswith("@") != bool(NUMBERED.match(name)):
        raise UserError(f"unknown metric {name!r}{did_you_mean(name, METRICS)}; metrics: {', '.join(METRICS)}")
    return METRICS[key]


def parts_of(name: str) -> tuple[str, ...]:
    """Return the parts that metric `name` is computed from."""
    return find(name).parts or (name,)


def computable(parts: Iterable[str]) -> list[str]:
    """Return the metrics that these parts allow, in catalogue order, those with a number last."""
    parts = set(parts)
    plain = [n for n, m in METRICS.items() if not n.endswith("@") and set(m.parts or (n,)) <= parts]
    return plain + sorted(
        (p for p in parts if NUMBERED.match(p)),
        key=lambda p: [int(x) if x.isdigit() else x for x in re.split(r"(\d+)", p)],
    )
