"""Preference pairs between continuations of one partial solution: sibling steps of search trees, or whole solutions.

Source: MCTS-DPO (2405.00451): step-level pairs of best and worst Q at every depth of the committed path, and, its
instance-level baseline, a right solution against a wrong one.

Departures
1. Of more pairs than `most` in a tree the first, from the root down, are kept; the paper does not say.
"""

from __future__ import annotations

import json
from typing import Literal

from pydantic import Field

from elenchus import slices
from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths, StageParams


class Params(StageParams):
    """Which pairs are kept."""

    most: int = Field(8, ge=1, description="pairs of one tree, or of one problem's solutions, at most (MCTS-DPO: 8)")
    right_only: bool = Field(
        True, description="trees: only those whose committed path ends in a right answer (MCTS-DPO's code: filter)"
    )
    smoothing: Literal["paper", "code", "none"] = Field(
        "paper", description="trees: label smoothing from visits: 1 / (N_w / N_l + 1); at most 0.5; none"
    )


INPUTS = {"problems": "problems", "trees?": "nodes", "solutions": "solutions"}
OUTPUTS = ("step_pairs",)
SEEDED = True
THREADS = 1


def run(job: Job) -> None:
    """Write the pairs, in the order of the problems. With `trees`, `solutions` holds the end of each committed path."""
    from elenchus.critics.drafts import by_id

    if "trees" in job.inputs and not job.inputs["trees"].manifest["params"].get("commit"):
        raise UserError("step pairs need trees whose root moves: set the search's `commit`")
    with job.writing("step_pairs") as (add,):
        for part in slices.walk(job, INPUTS, "solutions", "problems", "trees"):
            known, solutions = by_id(part["problems"]), part["solutions"]
            if "trees" in part:
                add(_of_trees(job, known, solutions, part["trees"]))
            else:
                add(_of_solutions(job, known, solutions))


def _of_trees(job: Job, known: dict, solutions, nodes) -> list[dict]:
    from elenchus.search import preferences
    from elenchus.stages.label import branches

    p, rows, trees = job.params, [], branches(nodes)
    for row in solutions.to_dict("records"):
        if p.right_only and not row["correct"]:
            continue
        problem, tree = known[row["problem_id"]], trees[row["problem_id"]]
        for k, pair in enumerate(preferences.pairs(tree, row["sample"], p.most)):
            steps = [tree[i].step for i in preferences.path(tree, pair.parent)[1:]]
            best, worst = tree[pair.chosen[0]], tree[pair.rejected[0]]
            rows.append(
                _row(
                    f"{problem.id}~{k}",
                    problem,
                    prefix(steps),
                    steps,
                    chosen=continuation(problem, steps, [tree[i] for i in pair.chosen]),
                    rejected=continuation(problem, steps, [tree[i] for i in pair.rejected]),
                    values=(best.value, worst.value),
                    visits=(best.visits, worst.visits),
                    smoothing=preferences.smoothing(best.visits, worst.visits, p.smoothing),
                )
            )
    # Outcomes that the search had not paid for are paid for here.
    job.cost.oracle_calls += (
        len(solutions) if p.right_only and not job.inputs["trees"].manifest["params"]["exact"] else 0
    )
    return rows


def prefix(steps: list[str]) -> str:
    """Return the text of a partial solution, which ends on the mark of its next step."""
    from elenchus.search.tree import mark, written

    return f"{written(steps)} {mark(len(steps) + 1)}".strip()


def continuation(problem, steps: list[str], nodes: list) -> tuple[str, bool, list[str]]:
    """Return (text, whether the reply ends behind it, steps) of what the nodes of a chain add to `prefix(steps)`.

    An open node's text ends on the mark of the next step, a finished one's with the answer. What cannot be read stands
    as it was written, and does not end the reply.
    """
    from elenchus import problems
    from elenchus.search.tree import written

    own = [node.step for node in nodes]
    before, whole = prefix(steps), [*steps, *own]
    if not nodes[-1].terminal:
        return prefix(whole)[len(before) :].strip(), False, own
    family = problems.load(problem.family)
    if all(step.strip() for step in own) and family.parse(problem, text := family.render(problem, whole)).ok:
        return text.removeprefix(before).strip(), True, own
    return written(whole)[len(before) :].strip(), False, own


def _of_solutions(job: Job, known: dict, solutions) -> list[dict]:
    """Return pairs of a right and a wrong readable solution, drawn at random, each pair of samples once."""
    rows = []
    readable = solutions[solutions["parsed"]]
    for problem_id, own in readable.groupby("problem_id", sort=False):
        problem, samples = known[problem_id], own.to_dict("records")
        right, wrong = ([s for s in samples if s["correct"] == side] for side in (True, False))
        both = [(a, b) for a in right for b in wrong]
        for k, (a, b) in enumerate(job.rng(problem_id).sample(both, min(job.params.most, len(both)))):
            texts = [(s["text"], s["finish"] == "end", list(s["steps"])) for s in (a, b)]
            sides = {"chosen": texts[0], "rejected": texts[1], "values": (1.0, 0.0), "visits": (0, 0)}
            rows.append(_row(f"{problem_id}~{k}", problem, "", [], **sides, smoothing=0.0))
    job.cost.oracle_calls += len(readable)
    return rows


def _row(name: str, problem, before: str, steps: list[str], **sides) -> dict:
    """Return one row; sides: chosen and rejected as `continuation` gives them, values, visits, smoothing."""
    from elenchus import conversation

    prompt = json.dumps(conversation.solve(problem.prompt), ensure_ascii=False)
    row = {"pair_id": name, "problem_id": problem.id, "prompt": prompt, "reply": "assistant", "prefix": before}
    row |= {"steps": steps, "smoothing": sides["smoothing"]}
    for side, value, visits in zip(("chosen", "rejected"), sides["values"], sides["visits"], strict=True):
        text, ends, own = sides[side]
        row |= {side: text, f"{side}_ends": ends, f"{side}_steps": own}
        row |= {f"{side}_value": value, f"{side}_visits": visits}
    return row


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return about three pairs a tree; no tokens."""
    return Estimate(rows=min(3, params.most) * rows.get("problems", 0))
