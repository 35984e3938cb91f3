"""Training dialogues made of episodes: good ones, and revision trajectories spliced of a bad and a good one.

Source: Agent-R (2501.11425). The judge of the transition point is whoever wrote `critiques`: the actor itself, another
model, or an exact checker with dials.

Departures
1. Each splice is played again, and only consistent ones are learned (`consistent: only`); the paper takes all.
2. A good path's score may equal alpha (the paper's `alpha < reward` leaves nothing at its last alpha, 1).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from elenchus import slices
from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths, StageParams


class Params(StageParams):
    """Which pairs are spliced, where, and how many dialogues are kept."""

    cut: Literal["judged", "end"] = Field(
        "judged", description="keep the bad path to the first action judged bad, or all of it (direct revision)"
    )
    alpha: float = Field(0.5, ge=0, le=1, description="least score of a good path (paper: 0.5, 0.7, 1.0 by round)")
    beta: float = Field(0.2, ge=0, le=1, description="score gap of a pair that has to be exceeded")
    limit: int = Field(1000, ge=1, description="dialogues at most")
    revision_share: float = Field(0.75, ge=0, le=1, description="share of revision trajectories; good ones fill up")
    consistent: Literal["only", "all"] = Field("only", description="splices learned: consistent ones, or all")
    most: int = Field(4, ge=1, description="revision trajectories of one problem at most")
    learn_bad: bool = Field(False, description="ablation: the bad actions carry loss too")


INPUTS = {"problems": "problems", "solutions": "solutions", "critiques?": "critiques"}
OUTPUTS = ("examples", "splices")
SEEDED = True
THREADS = 1


def run(job: Job) -> None:
    """Write the dialogues to learn, and every splice that was tried. Outcomes of all episodes count as oracle calls."""
    from elenchus.agents import splices

    p = job.params
    if p.revision_share and p.cut == "judged" and "critiques" not in job.inputs:
        raise UserError("cut 'judged' needs input `critiques`: who says which action is bad?")
    job.cost.oracle_calls += job.inputs["solutions"].count("solutions")
    rng, n_drawn, n_good = job.rng("pairs"), 0, 0
    for _, drawn, good in _tried(job, rng):
        n_drawn, n_good = n_drawn + len(drawn), n_good + len(good)
    learned = splices.draw(range(n_drawn), round(p.limit * p.revision_share), rng)
    shown = splices.draw(range(n_good), p.limit - len(learned), rng)
    revisions, others, n_drawn, n_good = [], [], 0, 0
    with job.writing("splices") as (add,):
        for made, drawn, good in _tried(job, job.rng("pairs")):  # once more, with the same draws
            own = slices.at(drawn, learned, n_drawn)
            revisions += [revised(s, p.learn_bad) for s in own]
            others += [plain(*one) for one in slices.at(good, shown, n_good)]
            used = {id(s) for s in own}
            add([row(s, id(s) in used) for s in made])
            n_drawn, n_good = n_drawn + len(drawn), n_good + len(good)
    job.write("examples", [*revisions, *others])  # `limit` at most


def _tried(job: Job, rng) -> Iterator[tuple[list, list, list]]:
    """Yield, problem by problem, all splices, those of them that may be learned, and (problem, path) of the good paths."""
    from elenchus.agents import splices
    from elenchus.critics.drafts import by_id

    p = job.params
    for part in slices.walk(job, INPUTS, "solutions", "problems", "critiques"):
        known = by_id(part["problems"])
        for problem_id, paths in paths_of(known, part["solutions"], part.get("critiques")).items():
            problem, made = known[problem_id], []
            for better, worse in splices.pairs(paths, p.alpha, p.beta) if p.revision_share else ():
                kept = len(worse.steps) if p.cut == "end" or worse.judged is None else worse.judged
                made.append(splices.splice(problem, worse, better, kept))
            usable = [s for s in made if s.consistent or (p.consistent == "all" and len(s.steps) > s.kept + 1)]
            good = [(problem, path) for path in splices.good_paths(paths, p.alpha)]
            yield made, splices.draw(usable, p.most, rng), good


def paths_of(known: dict, solutions, critiques=None) -> dict[str, list]:
    """Return {problem: its different readable episodes}, each with the judge's first bad action."""
    from elenchus import problems
    from elenchus.agents.splices import Path, distinct, first_bad

    said: dict[str, str] = {}
    if critiques is not None:
        table = critiques[critiques["sample"] == 0]
        said = dict(zip(table["solution_id"], table["text"], strict=True))
    found: dict[str, list[Path]] = {}
    for s in solutions[solutions["parsed"]].to_dict("records"):
        problem = known[s["problem_id"]]
        family, steps = problems.load(problem.family), tuple(s["steps"])
        bad = first_bad(said.get(s["solution_id"], ""), family.error_types())
        kept = None if bad is None or bad >= len(steps) else bad + 1
        found.setdefault(problem.id, []).append(Path(s["solution_id"], steps, family.score(problem, steps), kept))
    return {problem: distinct(paths) for problem, paths in found.items()}


def revised(s, learn_bad: bool) -> dict:
    """Return the training example of a splice."""
    from elenchus.agents.splices import as_example

    return as_example(f"{s.bad}>{s.good}", s.problem, s.steps, 0 if learn_bad else s.kept)


def plain(problem, path) -> dict:
    """Return the training example of a good path."""
    from elenchus.agents.splices import as_example

    return as_example(path.id, problem, path.steps)


def row(s, used: bool) -> dict:
    """Return the `splices` row."""
    facts = {"problem_id": s.problem.id, "bad": s.bad, "good": s.good, "steps": list(s.steps)}
    return {**facts, "kept": s.kept, "consistent": s.consistent, "used": used}


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return the most dialogues that are kept; no tokens."""
    return Estimate(rows=params.limit)
