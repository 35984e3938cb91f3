"""Adversarial games about single steps: a sneaky generator spoils right steps, a step critic judges them; all moves paid.

Source: SPC (arXiv 2504.19162), step 3 to 7 of its game.  Who plays whom is the recipe's choice (the balancing game pits the
evolved generator against the weaker critic).

Departures
1. Validity by the exact step checker, or by roll-outs of a solver, as in the paper (`validity`), whose thresholds are not
   certain.
2. Without a generator, steps are spoilt at random by program (a baseline, not in the paper).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from typing import Literal

from pydantic import Field

from elenchus import slices
from elenchus.engines.settings import Sampler
from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths


class Params(Sampler):
    """The games and their rules."""

    games: int = Field(1000, ge=1, description="right steps that are attacked (about 2 k a round at laptop scale)")
    paired: bool = Field(True, description="the critic also judges the right step that was replaced")
    validity: Literal["checker", "rollouts"] = Field(
        "checker", description="what says that the new step is wrong: the exact checker, or the solver's roll-outs"
    )
    rollouts: int = Field(8, ge=1, description="rollouts: completions of each partial solution, K")
    high: float = Field(
        0.5, ge=0, le=1, description="rollouts: least share of right answers before the step is replaced"
    )
    low: float = Field(0.0, ge=0, le=1, description="rollouts: most of them after it")
    temperature: float = Field(1.0, ge=0, description="both players' sampling temperature")
    max_tokens: int = Field(24, ge=1, description="tokens of a move at most")
    rollout_tokens: int = Field(64, ge=1, description="tokens of a roll-out at most")
    batch_size: int = Field(256, ge=1, description="sequences in flight; bounds memory")


INPUTS = {
    "generator?": "model",
    "critic": "model",
    "solver?": "model",
    "solutions": "solutions",
    "problems": "problems",
}
OUTPUTS = ("moves", "cases", "items", "metrics")
SEEDED = True
THREADS = 1


def run(job: Job) -> None:
    """Write all moves with their pay-offs, the judged steps as cases, and the players' success by problem."""
    from elenchus import environment

    environment.torch_setup(THREADS)
    from elenchus.critics import games, step
    from elenchus.engines import Sampling
    from elenchus.engines.opening import opened, spent
    from elenchus.training.settings import cycle

    p = job.params
    if (p.validity == "rollouts") != ("solver" in job.inputs):
        raise UserError(f"validity {p.validity!r} {'needs' if p.validity == 'rollouts' else 'takes no'} input `solver`")
    pool = sum(map(len, _right_steps(job)))
    if not pool:
        raise UserError("0 right steps in the solutions: there is nothing to attack; sample more solutions")
    drawn = list(islice(cycle(pool, job.derive("steps")), p.games))
    places = sorted(set(drawn))
    cases = dict(zip(places, chain.from_iterable(slices.picked(_right_steps(job), places)), strict=True))
    attacked = [cases[place] for place in drawn]
    sneaks, moves = _propose(job, attacked)
    valid = _valid(job, attacked, sneaks)
    sneaks = {g: case for g, case in sneaks.items() if g in valid}
    fair = {g: _named(attacked[g], f"{case.id}=") for g, case in sneaks.items() if p.paired}
    sampling = Sampling(p.temperature, p.max_tokens)
    engine = opened(job, "critic")
    asked = [*sneaks.items(), *fair.items()]
    said = step.ask(engine, engine.tokenizer, [case for _, case in asked], sampling, job.derive("critic"))
    job.progress(len(asked), len(asked), "steps judged")
    spent(job, engine)
    ends = {g: games.INVALID for g in range(p.games)}
    rows = []
    for i, ((g, case), (unit, reply)) in enumerate(zip(asked, said, strict=True)):
        payoff = games.paired(unit) if i >= len(sneaks) else games.sneaky(True, unit)
        if i < len(sneaks):
            ends[g] = payoff
        rows.append(_move(g, "critic", case, step.judging(case), "critic", reply.text.strip(), payoff))
    for g, (case, text) in moves.items():
        rows.append(_move(g, "generator", case, step.sneaking(case), "assistant", text, ends[g]))
    job.write("moves", rows)
    job.write("cases", [case.row() for case in (*sneaks.values(), *fair.values())])
    _measure(job, attacked, ends)


def _right_steps(job: Job) -> Iterator[list]:
    """Yield the right steps of each slice's solutions, as cases."""
    from elenchus.critics.drafts import drafts
    from elenchus.stages.cases import right_steps

    for part in slices.walk(job, INPUTS, "solutions", "problems"):
        yield right_steps(drafts(part["solutions"], part["problems"]))


def _named(case, name: str):
    from dataclasses import replace

    return replace(case, id=name)


def _propose(job: Job, attacked: list) -> tuple[dict, dict]:
    """Return ({game: the case of its proposed step}, {game: (case, the generator's text)}).

    A text that proposes no step has no case. Without a generator the steps are spoilt by program, and nobody moves.
    """
    from elenchus import conversation
    from elenchus.critics import mistakes, step
    from elenchus.engines import Sampling
    from elenchus.engines.opening import opened, spent

    p, sneaks, moves = job.params, {}, {}
    if "generator" not in job.inputs:
        rng = job.rng("spoil")
        for g, case in enumerate(attacked):
            _, wrong = mistakes.draw(case.problem, case.prefix, case.right, rng)
            sneaks[g] = step.Case(f"{case.id}!{g}", case.problem, case.prefix, wrong, case.right, "random")
        return sneaks, moves
    engine = opened(job, "generator")
    prompts = [conversation.render(engine.tokenizer, step.sneaking(case), "assistant") for case in attacked]
    samples = engine.sample(prompts, Sampling(p.temperature, p.max_tokens), job.derive("generator"), 1)
    for g, (case, (reply,)) in enumerate(zip(attacked, samples, strict=True)):
        moves[g] = case, reply.text.strip()
        wrong = mistakes.read(reply.text)
        if wrong is not None:
            sneaks[g] = step.Case(f"{case.id}!{g}", case.problem, case.prefix, wrong, case.right, "generator")
    job.progress(len(attacked), len(attacked), "steps attacked")
    spent(job, engine)
    return sneaks, moves


def _valid(job: Job, attacked: list, sneaks: dict) -> set[int]:
    """Return the games whose proposed step can be read as a step and is an error, by the rule `validity`."""
    from elenchus import solutions
    from elenchus.critics import games
    from elenchus.engines import Sampling
    from elenchus.engines.opening import opened, spent
    from elenchus.search.mcts import outcome
    from elenchus.search.tree import written

    p = job.params
    truth = {g: case.truth() for g, case in sneaks.items()}
    if p.validity == "checker":
        job.cost.oracle_calls += len(sneaks)
        return {g for g, unit in truth.items() if not unit.ok and unit.error != "format"}
    readable = [g for g, unit in truth.items() if unit.error != "format"]
    engine = opened(job, "solver")
    partial = {
        (attacked[g].problem.id, written([*attacked[g].prefix, step])): attacked[g].problem
        for g in readable
        for step in (attacked[g].right, sneaks[g].step)
    }
    prompts = [f"{solutions.prompt(engine.tokenizer, problem)}{text}" for (_, text), problem in partial.items()]
    sampling = Sampling(1.0, p.rollout_tokens)
    samples = engine.sample(prompts, sampling, job.derive("rollouts"), p.rollouts) if prompts else []
    share = {
        key: sum(outcome(problem, f"{key[1]} {c.text.strip()}") for c in drawn) / p.rollouts
        for (key, problem), drawn in zip(partial.items(), samples, strict=True)
    }
    spent(job, engine)
    job.cost.oracle_calls += len(prompts) * p.rollouts
    before, after = (
        {g: share[attacked[g].problem.id, written([*attacked[g].prefix, new])] for g, new in steps.items()}
        for steps in ({g: attacked[g].right for g in readable}, {g: sneaks[g].step for g in readable})
    )
    return {g for g in readable if games.collapses(before[g], after[g], p.high, p.low)}


def _move(game: int, player: str, case, messages: list, reply: str, text: str, payoff) -> dict:
    """Return the row of one move."""
    from elenchus.examples import example

    row = example(f"{case.id}~{player}{game}", case.problem.id, messages, reply, text)
    reward = payoff.generator if player == "generator" else payoff.critic
    return {
        "move_id": row.pop("example_id"),
        "game": game,
        "player": player,
        **row,
        "reward": reward,
        "outcome": payoff.outcome,
    }


def _measure(job: Job, attacked: list, ends: dict) -> None:
    """Write how often proposals were valid, and won, by problem."""
    import numpy as np

    from elenchus.metrics.measure import Parts
    from elenchus.stages.evaluate import summarise

    parts = Parts(sorted(job.inputs["problems"].columns("problems", ["problem_id"])["problem_id"]))
    codes = parts.codes([case.problem.id for case in attacked])
    outcomes = [ends[g].outcome for g in range(len(attacked))]
    parts.ratio("sneaks_valid", codes, np.array([o != "invalid" for o in outcomes]))
    parts.ratio("sneaks_won", codes, np.array([o == "fooled" for o in outcomes]))
    rows = parts.rows()
    job.write("items", rows)
    job.write("metrics", summarise([rows], job.derive("bootstrap")))


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return the estimate: moves as long as judgements, two or three a game; roll-outs of two thirds of a solution."""
    moves = params.games * (3 if params.paired else 2)
    rolled = 2 * params.games * params.rollouts * tokens.rollout if params.validity == "rollouts" else 0
    return Estimate(rows=moves, sampled=tokens.judgement * moves + rolled, prompt=tokens.prefix * moves)
