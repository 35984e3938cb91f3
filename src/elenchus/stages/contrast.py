"""Critiques of wrong paths beside right ones of the same problem, from search trees or from independent solutions.

Source: MMC (arXiv 2504.11009), steps B and C: wrong and right leaves of one tree, the deepest common ancestor, an annotator
that compares the two branches; right paths get a critique that accepts them, so that the critic can stop the refinement.

Departures
1. The annotator is the exact step checker. `aided`, it takes the first step behind the common ancestor for the first error
   and the right branch's step for its fix; else it judges the wrong path alone, with faults dialled in.
2. Without trees, wrong and right solutions of a problem that were sampled independently take the branches' place.
"""

from __future__ import annotations

from pydantic import Field

from elenchus import slices
from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths, StageParams


class Params(StageParams):
    """How many paths, and what the annotator sees and misses."""

    most: int = Field(
        2, ge=1, description="wrong paths of one problem at most, drawn at random; 1 right path with them"
    )
    aided: bool = Field(True, description="the annotator sees the right branch; needs the input `trees`")
    annotator: str = Field("annotator", min_length=1, description="the annotator's name in tables")
    miss_rate: float = Field(0.0, ge=0, le=1, description="unaided: probability that a wrong step is called good")
    false_alarm_rate: float = Field(0.0, ge=0, le=1, description="unaided: probability that a good step is called bad")
    wrong_fix_rate: float = Field(0.0, ge=0, le=1, description="unaided: probability that an error gets a wrong fix")


INPUTS = {"trees?": "nodes", "solutions": "solutions", "problems": "problems"}
OUTPUTS = ("critiques",)
SEEDED = True
THREADS = 1


def run(job: Job) -> None:
    """Write the critiques, problem by problem; only of problems with right and wrong paths (readable ones)."""
    from elenchus.critics import oracle, rows, siblings
    from elenchus.critics.drafts import drafts
    from elenchus.critics.format import parse, render

    p = job.params
    if p.aided and "trees" not in job.inputs:
        raise UserError("aided: the annotator sees the right branch of a tree; give the input `trees`, or aided: false")
    dials = oracle.Dials(p.miss_rate, p.false_alarm_rate, p.wrong_fix_rate)
    draw, made = job.rng("draw"), 0
    with job.writing("critiques") as (add,):
        for part in slices.walk(job, INPUTS, "solutions", "problems", "trees"):
            table, written = part["solutions"], []
            node_of = dict(zip(table["solution_id"], table["sample"], strict=True))
            splits = _divergences(part["trees"]) if "trees" in part else None
            of: dict[str, list] = {}
            for draft in drafts(table, part["problems"]):
                of.setdefault(draft.problem.id, []).append(draft)
            for problem, own in of.items():
                right, wrong = [d for d in own if d.correct], [d for d in own if not d.correct]
                if splits is not None:
                    wrong = [d for d in wrong if node_of[d.id] in splits.get(problem, {})]
                if not right or not wrong:
                    continue
                for draft in [*draw.sample(wrong, min(p.most, len(wrong))), draw.choice(right)]:
                    job.cost.oracle_calls += len(draft.steps)
                    if not p.aided:
                        written.append(oracle.criticise(draft, p.annotator, dials, job.derive("oracle")))
                        continue
                    if draft.correct:
                        units = siblings.fine(draft)
                    else:
                        units = siblings.contrast(draft, *splits[problem][node_of[draft.id]])
                    text = render(units)
                    said = parse(text, len(draft.steps), draft.family.error_types())
                    written.append(rows.row(draft, p.annotator, 0, text, said, confidence=1.0))
            made += add(written)
    if not made:
        raise UserError("0 problems have both a right and a wrong path: search or sample more, or take harder problems")


def _divergences(nodes) -> dict[str, dict[int, tuple[int, str]]]:
    """Return {problem: {wrong leaf: (index of the deviating step, the right branch's step there)}}."""
    from elenchus.critics import siblings
    from elenchus.stages.label import branches

    found = {}
    for problem, tree in branches(nodes).items():
        found[problem] = {
            d.wrong: (d.at, tree[siblings.paths(tree, d.right)[d.at + 1]].step) for d in siblings.divergences(tree)
        }
    return found


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return a critique of each wrong path and one of a right one, for each problem; no tokens."""
    return Estimate(rows=(params.most + 1) * rows.get("problems", 0))
