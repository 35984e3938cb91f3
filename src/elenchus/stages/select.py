"""Training examples selected from a round's solutions: what passes the reward threshold.

Source: B-STaR (2412.17256), section 2.1 and its code. Reward: 1 for the right answer, plus the least step score scaled
to [-1, 1] where there are scores; kept is what lies above the threshold, strictly.

Departures
1. Equal solutions of a problem are kept once (`dedup`), as in the code; the paper does not say.
2. Where more pass than `wanted`, every problem's best are kept first, then every problem's second, and so on.
3. No reference solutions are mixed in by default (`reference`); the code adds one to every problem, with reward 1.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths, StageParams


class Params(StageParams):
    """The cut."""

    threshold: float = Field(0.0, description="reward above which a solution is kept; `setting` overrides it")
    max_per_problem: int = Field(0, ge=0, description="solutions of one problem at most, best first; 0: no limit")
    wanted: int = Field(0, ge=0, description="N: examples wanted at most; topk_fill fills up to it; 0: no limit")
    dedup: bool = Field(True, description="keep equal solutions of a problem once")
    selector: Literal["threshold", "topk_fill"] = Field("threshold", description="topk_fill: as B-STaR's code selects")
    process_weight: float = Field(1.0, ge=0, description="weight of the process score in the reward (paper: 1)")
    reference: bool = Field(False, description="add each problem's exact solution with reward 1 (B-STaR's code)")


INPUTS = {"solutions": "solutions", "problems": "problems", "scores?": "scores", "setting?": "settings.json"}
OUTPUTS = ("examples", "selection.json")
SEEDED = False
THREADS = 1


def run(job: Job) -> None:
    """Write the selected solutions as examples, and what they are like (steps checked exactly, for the record only)."""
    import json

    from elenchus import examples, problems
    from elenchus.critics.drafts import by_id
    from elenchus.rounds import selection

    p = job.params
    solutions, known = job.inputs["solutions"].table("solutions"), by_id(job.inputs["problems"].table("problems"))
    setting = json.loads(job.inputs["setting"].file("settings.json").read_text()) if "setting" in job.inputs else {}
    threshold = setting.get("threshold", p.threshold)
    scores = {}
    if "scores" in job.inputs:
        table = job.inputs["scores"].table("scores")
        scores = {i: list(s) for i, s in zip(table["solution_id"], table["step_scores"], strict=True)}
    pool = selection.candidates(solutions, scores, p.process_weight)
    references = {}
    if p.reference:
        used = [known[i] for i in dict.fromkeys(solutions["problem_id"])]
        for problem, row in zip(used, examples.from_references(used), strict=True):
            key = "\n".join(problems.load(problem.family).reference(problem))
            references[row["example_id"]] = row
            pool.append(selection.Candidate(row["example_id"], problem.id, key, selection.REFERENCE_REWARD, True))
    cut = {"selector": p.selector, "threshold": threshold, "per_query": p.max_per_problem, "wanted": p.wanted}
    kept = selection.select(pool, **cut, dedup=p.dedup)
    rows = solutions[solutions["solution_id"].isin({c.id for c in kept})]
    chosen = [references[c.id] for c in kept if c.id in references]
    job.write("examples", examples.from_solutions(known, rows) + chosen)
    job.write_json("selection", {**cut, **_statistics(pool, kept, rows, known), "setting": setting.get("temperature")})


def _statistics(pool: list, kept: list, rows, known: dict) -> dict:
    """Return what was kept of what, and how right its answers and steps are."""
    from statistics import fmean, pstdev

    from elenchus import problems

    per_problem: dict[str, int] = {}
    for c in kept:
        per_problem[c.query] = per_problem.get(c.query, 0) + 1
    wrong = steps = unsound = 0
    for problem_id, own in zip(rows["problem_id"], rows["steps"], strict=True):
        problem = known[problem_id]
        bad = sum(not check.ok for check in problems.load(problem.family).check_steps(problem, list(own)))
        wrong, steps, unsound = wrong + bad, steps + len(own), unsound + (bad > 0)
    counts = list(per_problem.values())
    return {
        "candidates": len(pool),
        "kept": len(kept),
        "problems": len({c.query for c in pool}),
        "problems_kept": len(per_problem),
        "share_right_answers": fmean(c.right for c in kept) if kept else 0.0,
        "share_wrong_steps": wrong / steps if steps else 0.0,
        "share_with_wrong_step": unsound / len(rows) if len(rows) else 0.0,
        # B-STaR's code logs this as UI: 1 - standard deviation / mean of the examples per problem
        "evenness": 1 - pstdev(counts) / fmean(counts) if counts else 0.0,
    }


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return at most `wanted` examples, else half of the solutions; no tokens."""
    half = rows.get("solutions", 0) // 2
    return Estimate(rows=min(half, params.wanted) if params.wanted else half)
