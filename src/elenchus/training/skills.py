"""How well a model solves, criticises and refines: the skills that the seed model's training is steered by."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

from elenchus import conversation, seeds
from elenchus.critics import format as critique_format
from elenchus.engines import Engine, Sampling
from elenchus.problems import Problem, Solution, first_error
from elenchus.training.curriculum import prompt

First = tuple[Problem, Solution, bool]  # a problem, a well-formed solution, whether its answer is right


def measure(
    engine: Engine, family: ModuleType, problems: Sequence[Problem], seed: int, max_tokens: int, n: int = 1
) -> dict[str, float]:
    """Return the skills on `problems`, with `n` solutions of each at temperature 1.

    Those of `solving`, and on the first solution of each problem: `f1`, the harmonic mean of `f1_wrong` (solutions with
    a wrong step whose first wrong step a greedy critique finds) and `f1_right` (solutions without one that it calls
    right; ProcessBench, arXiv 2412.06559, here on the model's own solutions); `refine`: share of right refinements, at
    temperature 1, of solutions that have a wrong answer, under the true critique. Malformed solutions are left out of
    both. `n_wrong`: solutions behind f1_wrong.
    """
    skills, firsts = solving(engine, family, problems, seed, max_tokens, n)
    skills |= _criticise(engine, family, firsts, Sampling(0.0, max_tokens), seed)
    return skills | _refine(engine, family, firsts, Sampling(1.0, max_tokens), seed)


def solving(
    engine: Engine, family: ModuleType, problems: Sequence[Problem], seed: int, max_tokens: int, n: int = 1
) -> tuple[dict[str, float], list[First]]:
    """Return the skills of solving, and the first solution of each problem where it is well-formed.

    pass@1: chance that a solution is right. pass@<n>: share of problems with a right one among n. formed: share of
    solutions in the right form.
    """
    prompts = [prompt(conversation.solve(p.prompt), "assistant") for p in problems]
    samples = engine.sample(prompts, Sampling(1.0, max_tokens), seeds.derive(seed, "solve"), n)
    solutions = [[family.parse(p, s.text) for s in drawn] for p, drawn in zip(problems, samples, strict=True)]
    right = [[s.ok and family.check_answer(p, s.answer) for s in drawn] for p, drawn in zip(problems, solutions)]
    skills = {"pass@1": _mean([_mean(r) for r in right]), "formed": _mean([s.ok for drawn in solutions for s in drawn])}
    if n > 1:
        skills[f"pass@{n}"] = _mean([any(r) for r in right])
    return skills, [(p, drawn[0], r[0]) for p, drawn, r in zip(problems, solutions, right) if drawn[0].ok]


def _criticise(
    engine: Engine, family: ModuleType, firsts: list[First], sampling: Sampling, seed: int
) -> dict[str, float]:
    """Return the first-error skills of greedy critiques."""
    asked = [prompt(conversation.critique(p.prompt, family.render(p, list(s.steps))), "critic") for p, s, _ in firsts]
    hits: dict[bool, list[bool]] = {True: [], False: []}
    drawn = engine.sample(asked, sampling, seeds.derive(seed, "critique")) if asked else []
    for (problem, solution, _), (sample,) in zip(firsts, drawn, strict=True):
        truth = first_error(family.check_steps(problem, list(solution.steps)))
        said = critique_format.parse(sample.text, len(solution.steps), family.error_types())
        hits[truth == -1].append(said.first_error == truth)
    wrong, right = _mean(hits[False]), _mean(hits[True])
    f1 = 2 * wrong * right / (wrong + right) if wrong + right else 0.0
    return {"f1": f1, "f1_wrong": wrong, "f1_right": right, "n_wrong": len(hits[False])}


def _refine(engine: Engine, family: ModuleType, firsts: list[First], sampling: Sampling, seed: int) -> dict[str, float]:
    """Return how often a wrong solution is mended under the true critique."""
    wrong = [(p, s) for p, s, right in firsts if not right]
    asked = []
    for problem, solution in wrong:
        units = critique_format.from_checks(family.check_steps(problem, list(solution.steps)))
        text = family.render(problem, list(solution.steps))
        asked.append(prompt(conversation.refine(problem.prompt, text, critique_format.render(units)), "assistant"))
    drawn = engine.sample(asked, sampling, seeds.derive(seed, "refine")) if asked else []
    mended = []
    for (problem, _), (sample,) in zip(wrong, drawn, strict=True):
        solution = family.parse(problem, sample.text)
        mended.append(solution.ok and family.check_answer(problem, solution.answer))
    return {"refine": _mean(mended)}


def _mean(values: Sequence[float]) -> float:
    """Return the mean, 0 for none."""
    return sum(values) / len(values) if values else 0.0
