"""From tables of solutions, critiques and refinements to the parts of metrics: one value and weight a problem.

Each function returns the rows of an `items` table (`catalogue.py` says what the parts mean). Every problem given has a
row of every part, with weight 0 where it says nothing of it, so that arms and seeds pair up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from elenchus.errors import UserError
from elenchus.metrics import calibration, catalogue, critique, passk

if TYPE_CHECKING:
    import pandas as pd

    from elenchus.critics.drafts import Draft


class Parts:
    """Collects parts over a fixed list of problems."""

    def __init__(self, problems: Sequence[str]):
        self.problems = list(problems)
        self.place = {p: i for i, p in enumerate(self.problems)}
        self.tables: list[tuple[str, np.ndarray, np.ndarray]] = []

    def codes(self, problem_ids: Sequence[str]) -> np.ndarray:
        """Return the place of each problem; UserError for one that is not in the list."""
        lost = set(problem_ids) - self.place.keys()
        if lost:
            raise UserError(
                f"{len(lost)} measured problems are not among the {len(self.place)} given, the first: {min(lost)}"
            )
        return np.array([self.place[p] for p in problem_ids], dtype=np.int64)

    def ratio(self, part: str, codes: np.ndarray, hits: np.ndarray, mask: np.ndarray | None = None) -> None:
        """Add the mean of `hits` over the rows of `mask`, weighted by how many rows a problem has."""
        mask = np.ones(len(codes)) if mask is None else np.asarray(mask, dtype=float)
        of_problem = np.asarray(hits, dtype=float) * mask
        # of no rows at all bincount makes integers
        top, bottom = (np.bincount(codes, w, len(self.problems)).astype(float) for w in (of_problem, mask))
        self.add(part, np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0), bottom)

    def add(self, part: str, values: np.ndarray, weights: np.ndarray | float = 1.0) -> None:
        """Add a part's values and weights, one a problem."""
        self.tables.append((part, values, np.broadcast_to(weights, np.shape(values))))

    def rows(self) -> pd.DataFrame:
        """Return the `items` table."""
        import pandas as pd

        n = len(self.problems)
        return pd.DataFrame(
            {
                "metric": np.repeat([part for part, _, _ in self.tables], n),
                "item": self.problems * len(self.tables),
                "value": np.concatenate([np.asarray(v, dtype=float) for _, v, _ in self.tables]),
                "weight": np.concatenate([np.asarray(w, dtype=float) for _, _, w in self.tables]),
            }
        )


def policy(
    solutions: pd.DataFrame,
    problems: Sequence[str],
    *,
    ks: Sequence[int] = (),
    s: Sequence[int] = (4,),
    scores: pd.DataFrame | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the parts of a policy: pass@k, pass@k-s, majority@k, diversity, soundness; with scores best@k, reward@k-s.

    ks: sample counts (`sample_counts`). s: counts of different right solutions, measured at the largest k. Raises
    UserError where a k is above the samples of some problem.
    """
    parts = Parts(problems)
    codes = parts.codes(solutions["problem_id"].tolist())
    right, parsed = (solutions[c].to_numpy(dtype=bool) for c in ("correct", "parsed"))
    parts.ratio("accuracy", codes, right)
    parts.ratio("parsed", codes, parsed)
    parts.ratio("tokens", codes, solutions["tokens"].to_numpy())
    parts.ratio("sound", codes, solutions["first_error"].to_numpy() == -1, right)

    pools: list[list[int]] = [[] for _ in parts.problems]
    for row, code in enumerate(codes):
        pools[code].append(row)
    ks = sample_counts(ks, min((len(pool) for pool in pools if pool), default=0))
    steps = [tuple(x) for x in solutions["steps"]]
    answers = [a if ok else None for a, ok in zip(solutions["answer"].tolist(), parsed)]
    groups = [passk.groups_of([steps[i] for i in pool if right[i]]) for pool in pools]

    def per_problem(part: str, value: Callable[[int], float | None]) -> None:
        found = [value(p) if pools[p] else None for p in range(len(pools))]
        parts.add(part, np.array([f or 0.0 for f in found]), np.array([f is not None for f in found], dtype=float))

    per_problem("diversity", lambda p: passk.diversity([steps[i] for i in pools[p] if right[i]]))
    for k in ks:
        per_problem(f"pass@{k}", lambda p, k=k: passk.pass_at_k(len(pools[p]), sum(groups[p]), k))
        if k > 2:
            per_problem(
                f"majority@{k}",
                lambda p, k=k: passk.majority_at_k(
                    [answers[i] for i in pools[p]], [right[i] for i in pools[p]], k, seed
                ),
            )
    wanted = [c for c in s if 1 < c <= max(ks, default=0)]
    for c in wanted:
        per_problem(f"pass@{max(ks)}-{c}", lambda p, c=c: passk.pass_at_ks_groups(len(pools[p]), groups[p], max(ks), c))
    if scores is not None:
        by_id = dict(zip(scores["solution_id"], scores["score"], strict=True))
        ranked = [by_id[i] for i in solutions["solution_id"]]
        for k, c in [(k, 1) for k in ks if k > 1] + [(max(ks), c) for c in wanted]:
            per_problem(
                f"best@{k}" if c == 1 else f"reward@{k}-{c}",
                lambda p, k=k, c=c: passk.reward_at_ks(
                    [ranked[i] for i in pools[p]], [right[i] for i in pools[p]], k, c
                ),
            )
    return parts.rows()


def vote(
    solutions: pd.DataFrame,
    critiques: pd.DataFrame,
    problems: Sequence[str],
    *,
    ks: Sequence[int] = (),
    seed: int = 0,
) -> pd.DataFrame:
    """Return the parts of a vote that a critic filters (RefCritic, 2507.15024): majority@k, filtered_majority@k, gains.

    A solution is dropped where more than half of its critiques call it wrong; an unreadable critique drops nothing. Each
    value is the expectation over subsets of k of a problem's n solutions (`passk.majority_at_k`), the same for all four;
    filtered_growth compares the largest k with the smallest. ks as in `policy`, but from 3 on: two cannot outvote.
    """
    parts = Parts(problems)
    codes = parts.codes(solutions["problem_id"].tolist())
    against = critiques["verdict"].eq("wrong").groupby(critiques["solution_id"]).mean()
    kept = ~(solutions["solution_id"].map(against).fillna(0.0).to_numpy(dtype=float) > 0.5)
    right, parsed = (solutions[c].to_numpy(dtype=bool) for c in ("correct", "parsed"))
    answers = [a if ok else None for a, ok in zip(solutions["answer"].tolist(), parsed)]
    pools = [np.flatnonzero(codes == p) for p in range(len(parts.problems))]
    seen = np.array([len(pool) > 0 for pool in pools], dtype=float)
    gains = {}
    for k in [k for k in sample_counts(ks, min((len(pool) for pool in pools if len(pool)), default=0)) if k > 2]:
        plain, filtered = (
            np.array(
                [
                    passk.majority_at_k([answers[i] for i in pool], right[pool], k, seed, kept=who[pool])
                    if len(pool)
                    else 0.0
                    for pool in pools
                ]
            )
            for who in (np.ones_like(kept), kept)
        )
        gains[k] = filtered - plain
        parts.add(f"majority@{k}", plain, seen)
        parts.add(f"filtered_majority@{k}", filtered, seen)
        parts.add(f"filtered_gain@{k}", gains[k], seen)
    if len(gains) > 1:
        parts.add(f"filtered_growth@{max(gains)}-{min(gains)}", gains[max(gains)] - gains[min(gains)], seen)
    return parts.rows()


def sample_counts(ks: Sequence[int], fewest: int) -> list[int]:
    """Return the counts to measure metrics @k at; UserError for one above the samples.

    ks: those asked for; empty for powers of two up to `fewest`, the samples that every solved problem has, and that number.
    """
    if not ks:
        return sorted({2**e for e in range(fewest.bit_length()) if 2**e <= fewest} | ({fewest} - {0}))
    if max(ks) > fewest:
        raise UserError(f"ks holds {max(ks)}, but a problem has {fewest} solutions only; sample more, or lower ks")
    return sorted(set(ks))


def critic(
    critiques: pd.DataFrame,
    drafts: Sequence[Draft],
    problems: Sequence[str],
    *,
    steps: bool = True,
    voted: bool = False,
) -> pd.DataFrame:
    """Return the parts of a critic: first errors, verdicts, calibration; with `steps`, single findings too.

    One row of `critiques` counts once; drafts: the parsed solutions that they are about. steps: check every draft's
    steps exactly, for unit precision, recall and fixes. voted: solutions have several critiques, whose majority counts.
    """
    parts = Parts(problems)
    of = {d.id: d for d in drafts}
    critiques = critiques[critiques["solution_id"].isin(of.keys())]
    about = [of[i] for i in critiques["solution_id"]]
    codes = parts.codes([d.problem.id for d in about])
    label = np.array([d.first_error for d in about], dtype=float)
    correct = np.array([d.correct for d in about], dtype=bool)
    parsed = critiques["parsed"].to_numpy(dtype=bool)
    said = critiques["first_error"].to_numpy(dtype=float, na_value=np.nan)  # NaN never matches
    verdict_hit = critiques["verdict"].to_numpy(dtype=object) == np.where(correct, "right", "wrong")

    parts.ratio("critiques_parsed", codes, parsed)
    parts.ratio("critique_tokens", codes, critiques["tokens"].to_numpy())
    parts.ratio("acc_error", codes, said == label, label != -1)
    parts.ratio("acc_correct", codes, said == label, label == -1)
    parts.ratio("verdict_accuracy", codes, verdict_hit)
    parts.ratio("verdict_accuracy_right", codes, verdict_hit, correct)
    parts.ratio("verdict_accuracy_wrong", codes, verdict_hit, ~correct)
    _calibration(parts, codes, critiques["confidence"].to_numpy(dtype=float), verdict_hit, parsed)
    if voted:
        _votes(parts, critiques, of)
    if steps:
        _units(parts, codes, critiques, about)
    return parts.rows()


def _calibration(parts: Parts, codes: np.ndarray, confidence: np.ndarray, hit: np.ndarray, parsed: np.ndarray) -> None:
    """Add the Brier score and the calibration gap of each bin, over all critiques with a confidence."""
    known = parsed & ~np.isnan(confidence)
    sure = np.where(known, confidence, 0.0)
    gap = sure - hit
    parts.ratio("brier", codes, gap**2, known)
    bins = calibration.bin_of(sure)
    for b, name in enumerate(catalogue.GAPS):
        parts.ratio(name, codes, np.where(bins == b, gap, 0.0), known)


def _votes(parts: Parts, critiques: pd.DataFrame, of: dict[str, Draft]) -> None:
    """Add the accuracies of the majority of the critiques of each solution."""
    said: dict[str, list[int | None]] = {}
    first = critiques["first_error"].to_numpy(dtype=float, na_value=np.nan)
    for solution, f in zip(critiques["solution_id"], first, strict=True):
        said.setdefault(solution, []).append(None if np.isnan(f) else int(f))
    about = [of[i] for i in said]
    codes = parts.codes([d.problem.id for d in about])
    label = np.array([d.first_error for d in about])
    hit = np.array([critique.first_error_hit(d.first_error, critique.vote(said[d.id])) for d in about])
    parts.ratio("vote_acc_error", codes, hit, label != -1)
    parts.ratio("vote_acc_correct", codes, hit, label == -1)


def _units(parts: Parts, codes: np.ndarray, critiques: pd.DataFrame, about: Sequence[Draft]) -> None:
    """Add precision and recall of flagged steps and the accuracy of their fixes."""
    wrong: dict[str, dict[int, str]] = {}
    for draft in about:
        if draft.id not in wrong:
            wrong[draft.id] = {u.step: u.expected for u in draft.truth() if not u.ok}
    counts = np.zeros((len(about), 4))  # found, flagged, true, fixed
    for i, (draft, flagged, fixes) in enumerate(zip(about, critiques["bad_steps"], critiques["fixes"], strict=True)):
        true = wrong[draft.id]
        counts[i, :3] = critique.unit_counts(true, flagged)
        counts[i, 3] = sum(true.get(step) == fix for step, fix in zip(flagged, fixes, strict=True))
    found, flagged, true, fixed = counts.T
    for part, top, bottom in (
        ("unit_precision", found, flagged),
        ("unit_recall", found, true),
        ("fix_accuracy", fixed, found),
    ):
        share = np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)
        parts.ratio(part, codes, share, bottom)


def steps(judgements: pd.DataFrame, problems: Sequence[str]) -> pd.DataFrame:
    """Return the parts of a step critic, from a `judgements` table: recall on wrong and on right steps."""
    parts = Parts(problems)
    codes = parts.codes(judgements["problem_id"].tolist())
    ok, said = judgements["ok"].to_numpy(dtype=bool), judgements["said"].to_numpy(dtype=object)
    parts.ratio("step_recall_wrong", codes, said == "bad", ~ok)
    parts.ratio("step_recall_right", codes, said == "good", ok)
    parts.ratio("judgements_parsed", codes, said != "")
    return parts.rows()


def correction(refinements: pd.DataFrame, solutions: pd.DataFrame, problems: Sequence[str]) -> pd.DataFrame:
    """Return the parts of a correction. A solution without a refinement stands: it is its own second answer."""
    parts = Parts(problems)
    revised = refinements.merge(
        solutions[["solution_id", "steps", "first_error"]], on="solution_id", how="left", suffixes=("", "_before")
    )
    if revised["first_error_before"].isna().any():
        raise UserError("refinements of solutions that are not among the solutions given")
    left = solutions[~solutions["solution_id"].isin(refinements["solution_id"])]
    codes = parts.codes([*revised["problem_id"], *left["problem_id"]])
    before = np.concatenate([revised["was_correct"].to_numpy(dtype=bool), left["correct"].to_numpy(dtype=bool)])
    after = np.concatenate([revised["correct"].to_numpy(dtype=bool), left["correct"].to_numpy(dtype=bool)])
    seen = np.bincount(codes, minlength=len(parts.problems)) > 0

    def share(mask: np.ndarray) -> np.ndarray:
        return np.bincount(codes, weights=mask, minlength=len(parts.problems)) / np.maximum(
            np.bincount(codes, minlength=len(parts.problems)), 1
        )

    first = share(before)
    cells = dict(
        zip(
            ("right_to_right", "right_to_wrong", "wrong_to_right", "wrong_to_wrong"),
            map(share, (before & after, before & ~after, ~before & after, ~before & ~after)),
            strict=True,
        )
    )
    parts.add("acc1", first, seen)
    parts.add("acc2", share(after), seen)
    # The paper weights problems by P(first right) and 1 - P(first right): confidence-vs-critique, CL and CS.
    for part, top, bottom in (
        ("cl", cells["right_to_right"], first),
        ("cs", cells["wrong_to_right"], (1.0 - first) * seen),
    ):
        parts.add(part, np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0), bottom)
    for name, values in cells.items():
        parts.add(name, values, seen)
    _steps_of_refinements(parts, codes[: len(revised)], revised)
    return parts.rows()


def _steps_of_refinements(parts: Parts, codes: np.ndarray, revised: pd.DataFrame) -> None:
    """Add what became of the steps: the prefix before the first error, the error itself; and format and length."""
    parts.ratio("refinements_parsed", codes, revised["parsed"].to_numpy(dtype=bool))
    parts.ratio("refinement_tokens", codes, revised["tokens"].to_numpy())
    at = revised["first_error_before"].to_numpy(dtype=int)
    now = revised["first_error"].to_numpy(dtype=int)
    parsed = revised["parsed"].to_numpy(dtype=bool)
    kept = [list(old[:f]) == list(new[:f]) for old, new, f in zip(revised["steps_before"], revised["steps"], at)]
    parts.ratio("prefix_kept", codes, np.array(kept, dtype=bool) & parsed, at >= 0)
    parts.ratio("error_repaired", codes, parsed & ((now == -1) | (now > at)), at >= 0)


def pairs(
    table: pd.DataFrame, drafts: Sequence[Draft], problems: Sequence[str], *, filtered: bool = False
) -> pd.DataFrame:
    """Return the part of preference pairs: how often the chosen critique is strictly less severe by the exact checker.

    drafts: the parsed solutions that the pairs are about. filtered: only pairs that passed the revision filter.
    """
    from elenchus.critics import several
    from elenchus.critics.pairs import severity

    parts, of = Parts(problems), {d.id: d for d in drafts}
    rows = (table[table["kept"].to_numpy(dtype=bool)] if filtered else table).to_dict("records")
    better = []
    for row in rows:
        draft = of[row["solution_id"]]
        sides = several.read(draft, {side: row[side] for side in ("chosen", "rejected")})
        truth = draft.truth()
        better.append(severity(sides["chosen"], truth) < severity(sides["rejected"], truth))
    parts.ratio("pair_accuracy", parts.codes([r["problem_id"] for r in rows]), np.array(better, dtype=float))
    return parts.rows()
