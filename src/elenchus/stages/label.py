"""Step labels, the targets of process heads: from search trees, from roll-outs, or from the family's exact checkers.

Sources: ReST-MCTS* (2406.03816) for trees; Math-Shepherd (2312.08935) for roll-outs: the share of right answers among
completions of a prefix.

Departures
1. Trees: a node lies on many paths; its label stands on one of them, so that no node counts twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from elenchus import slices
from elenchus.engines.settings import Sampler
from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths


class Params(Sampler):
    """Where labels come from."""

    source: Literal["checker", "tree", "rollouts"] = Field("tree", description="exact checker, search trees, roll-outs")
    tree: Literal["full", "route", "value"] = Field(
        "full", description="tree: ReST-MCTS*'s labels by inferred distance; its simpler ones; backed-up values"
    )
    checker: Literal["steps", "distance", "outcome"] = Field(
        "steps",
        description="checker: right or wrong; ReST-MCTS*'s labels by true distance; the outcome, at the last step alone",
    )
    after_error: Literal["skip", "zero", "own"] = Field(
        "skip", description="checker, steps after the first wrong one: no label; 0; judged from the step before"
    )
    rollouts: int = Field(8, ge=1, description="rollouts: completions per prefix (Math-Shepherd: 8)")
    hard: bool = Field(False, description="rollouts: 1 where any completion is right (Math-Shepherd's hard estimate)")
    temperature: float = Field(1.0, ge=0, description="rollouts: sampling temperature")
    max_tokens: int = Field(64, ge=1, description="rollouts: tokens of a completion at most")
    batch_size: int = Field(256, ge=1, description="rollouts: sequences in flight; bounds memory")


INPUTS = {"problems": "problems", "trees?": "nodes", "solutions?": "solutions", "actor?": "model"}
OUTPUTS = ("labels",)
SEEDED = True
THREADS = 1


def run(job: Job) -> None:
    """Write the labelled paths; UserError where source and inputs do not fit.

    tree reads `trees`. checker and rollouts read `solutions` (parsed ones), or else the paths of `trees`; rollouts
    takes the `actor` too.
    """
    p = job.params
    if p.source == "tree" and "trees" not in job.inputs:
        raise UserError("source 'tree' needs input `trees`")
    if p.source != "tree" and not {"trees", "solutions"} & set(job.inputs):
        raise UserError(f"source {p.source!r} needs input `solutions`, or `trees`")
    if (p.source == "rollouts") != ("actor" in job.inputs):
        raise UserError(f"source {p.source!r} {'needs' if p.source == 'rollouts' else 'takes no'} input `actor`")
    of = "trees" if p.source == "tree" or "solutions" not in job.inputs else "solutions"
    by = {"tree": _by_tree, "checker": _by_checker, "rollouts": _by_rollouts}[p.source]
    with job.writing("labels") as (add,):
        for rows in by(job, slices.walk(job, INPUTS, of, "problems")):
            add(rows)


def row(path_id: str, problem_id: str, steps: list[str], labels: list[float], source: str) -> dict:
    """Return one row of the labels table."""
    return {"path_id": path_id, "problem_id": problem_id, "steps": steps, "labels": labels, "source": source}


def branches(nodes) -> dict[str, list]:
    """Return {problem: its tree's nodes} of a nodes table; UserError where a parent does not come before its child."""
    from elenchus.search.labels import Branch

    trees: dict[str, list[Branch]] = {}
    for node in nodes.to_dict("records"):
        tree = trees.setdefault(node["problem_id"], [])
        if node["node"] != len(tree) or node["parent"] >= len(tree):
            raise UserError(
                f"tree of {node['problem_id']}: node {node['node']} (parent {node['parent']}) is out of order"
            )
        right = bool(node["terminal"]) and node["correct"] is not None and bool(node["correct"])
        tree.append(Branch(node["parent"], node["step"], node["terminal"], right, node["value"], node["visits"]))
    return trees


def _by_tree(job: Job, parts: Iterator[dict]) -> Iterator[list[dict]]:
    """Yield the rows of each slice's trees. Outcomes that the search had not paid for (exact: false) are paid for here."""
    from elenchus.search import labels

    how = {"full": labels.full, "route": labels.route, "value": labels.backed_up}[job.params.tree]
    unpaid = job.params.tree != "value" and not job.inputs["trees"].manifest["params"].get("exact", True)
    for part in parts:
        rows = []
        for problem, tree in branches(part["trees"]).items():
            for k, (steps, values) in enumerate(labels.paths(tree, how(tree))):
                rows.append(row(f"{problem}/{k}", problem, steps, values, "tree"))
            job.cost.oracle_calls += sum(node.terminal for node in tree) if unpaid else 0
        yield rows


def _paths(part: dict) -> list[tuple[str, str, list[str]]]:
    """Return (path id, problem, steps) of the parsed solutions, or of the trees' paths where there are no solutions."""
    from elenchus.search import labels

    if "solutions" in part:
        table = part["solutions"][part["solutions"]["parsed"]]
        return list(zip(table["solution_id"], table["problem_id"], map(list, table["steps"]), strict=True))
    lines = {problem: labels.paths(tree, [1.0] * len(tree)) for problem, tree in branches(part["trees"]).items()}
    return [(f"{p}/{k}", p, steps) for p, own in lines.items() for k, (steps, _) in enumerate(own)]


def _by_checker(job: Job, parts: Iterator[dict]) -> Iterator[list[dict]]:
    from elenchus import problems
    from elenchus.critics.drafts import by_id
    from elenchus.search import labels

    p = job.params
    for part in parts:
        known, paths, rows = by_id(part["problems"]), _paths(part), []
        for path, problem, steps in paths:
            family = problems.load(known[problem].family)
            if p.checker == "outcome":
                reached = family.distance(known[problem], steps) == 0
                values = [*[labels.NOTHING] * (len(steps) - 1), float(reached)]
            elif p.checker == "distance":
                values = labels.by_distance(family, known[problem], steps)
            else:
                values = labels.from_checks(family.check_steps(known[problem], steps), p.after_error)
            rows.append(row(path, problem, steps, values, "checker"))
        job.cost.oracle_calls += len(paths) if p.checker == "outcome" else sum(len(steps) for _, _, steps in paths)
        yield rows


def _by_rollouts(job: Job, parts: Iterator[dict]) -> Iterator[list[dict]]:
    """Complete every prefix (each once, however many paths share it) and count the right answers."""
    from elenchus import environment

    environment.torch_setup(THREADS)
    from elenchus import solutions
    from elenchus.critics.drafts import by_id
    from elenchus.engines import Sampling
    from elenchus.engines.opening import opened, spent
    from elenchus.search.mcts import outcome
    from elenchus.search.tree import written

    p = job.params
    engine = opened(job, "actor")
    sampling = Sampling(temperature=p.temperature, max_tokens=p.max_tokens)
    for done, part in enumerate(parts, 1):
        known, paths = by_id(part["problems"]), _paths(part)
        prefixes = list(
            dict.fromkeys((i, written(steps[:k])) for _, i, steps in paths for k in range(1, len(steps) + 1))
        )
        shares: dict[tuple[str, str], float] = {}
        for chunk in solutions.chunks(prefixes, p.rollouts, p.batch_size):
            prompts = [solutions.prompt(engine.tokenizer, known[i]) + text for i, text in chunk]
            for (i, text), samples in zip(chunk, engine.sample(prompts, sampling, job.derive("rollouts"), p.rollouts)):
                right = [outcome(known[i], f"{text} {c.text.strip()}") for c in samples]
                shares[i, text] = float(any(right)) if p.hard else sum(right) / len(right)
            job.progress(len(shares), len(prefixes), f"prefixes of slice {done} completed")
        job.cost.oracle_calls += len(prefixes) * p.rollouts
        yield [
            row(path, i, steps, [shares[i, written(steps[:k])] for k in range(1, len(steps) + 1)], "rollouts")
            for path, i, steps in paths
        ]
    spent(job, engine)


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return the estimate: a row a solution, or one in two nodes; roll-outs of two thirds of a solution from each step."""
    paths = rows.get("solutions") or rows.get("trees", 0) // 2
    if params.source != "rollouts":
        return Estimate(rows=paths)
    begun = tokens.steps * paths
    return Estimate(rows=paths, sampled=tokens.rollout * begun * params.rollouts, prompt=tokens.prefix * begun)
