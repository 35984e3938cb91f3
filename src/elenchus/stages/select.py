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

from elenchus import slices
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

    from elenchus.rounds import selection

    p = job.params
    setting = json.loads(job.inputs["setting"].file("settings.json").read_text()) if "setting" in job.inputs else {}
    threshold = setting.get("threshold", p.threshold)
    pool, references, found, asked = [], [], 0, set()
    for part in slices.walk(job, INPUTS, "solutions", "problems", "scores"):
        own = selection.candidates(part["solutions"], step_scores(part), p.process_weight)
        exact = [selection.reference(problem) for problem in _used(part)] if p.reference else []
        found, asked = found + len(own) + len(exact), asked | {c.query for c in (*own, *exact)}
        pool += selection.above(own, threshold)
        references += selection.above(exact, threshold)
    cut = {"selector": p.selector, "threshold": threshold, "per_query": p.max_per_problem, "wanted": p.wanted}
    kept = selection.select([*pool, *references], **cut, dedup=p.dedup)
    checked = _write(job, {c.id for c in kept})
    about = {"candidates": found, "problems": len(asked), **_statistics(kept), **checked}
    job.write_json("selection", {**cut, **about, "setting": setting.get("temperature")})


def step_scores(part: dict) -> dict[str, list[float]]:
    """Return {solution: its step scores} of a slice, {} where there are none."""
    if "scores" not in part:
        return {}
    table = part["scores"]
    return {i: list(s) for i, s in zip(table["solution_id"], table["step_scores"], strict=True)}


def _used(part: dict) -> list:
    """Return the problems of a slice that have solutions, in the solutions' order."""
    from elenchus.critics.drafts import by_id

    known = by_id(part["problems"])
    return [known[i] for i in dict.fromkeys(part["solutions"]["problem_id"])]


def _write(job: Job, kept: set[str]) -> dict[str, float]:
    """Write the kept solutions as examples, then the kept references; return how right the solutions' steps are."""
    from elenchus import examples, problems
    from elenchus.critics.drafts import by_id

    wrong = steps = unsound = rows = 0
    with job.writing("examples") as (add,):
        for part in slices.walk(job, INPUTS, "solutions", "problems"):
            known, table = by_id(part["problems"]), part["solutions"]
            table = table[table["solution_id"].isin(kept)]
            add(examples.from_solutions(known, table))
            for problem_id, own in zip(table["problem_id"], table["steps"], strict=True):
                problem = known[problem_id]
                bad = sum(not check.ok for check in problems.load(problem.family).check_steps(problem, list(own)))
                wrong, steps, unsound, rows = wrong + bad, steps + len(own), unsound + (bad > 0), rows + 1
        for part in slices.walk(job, INPUTS, "solutions", "problems") if job.params.reference else ():
            add([row for row in examples.from_references(_used(part)) if row["example_id"] in kept])
    return {
        "share_wrong_steps": wrong / steps if steps else 0.0,
        "share_with_wrong_step": unsound / rows if rows else 0.0,
    }


def _statistics(kept: list) -> dict:
    """Return what was kept of what, and how right its answers are."""
    from collections import Counter
    from statistics import fmean, pstdev

    counts = list(Counter(c.query for c in kept).values())
    return {
        "kept": len(kept),
        "problems_kept": len(counts),
        "share_right_answers": fmean(c.right for c in kept) if kept else 0.0,
        # B-STaR's code logs this as UI: 1 - standard deviation / mean of the examples per problem
        "evenness": 1 - pstdev(counts) / fmean(counts) if counts else 0.0,
    }


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return at most `wanted` examples, else half of the solutions; no tokens."""
    half = rows.get("solutions", 0) // 2
    return Estimate(rows=min(half, params.wanted) if params.wanted else half)
