"""Search trees over partial solutions, and the solutions that their finished leaves are (of moving roots, the last one).

Sources: ReST-MCTS* (2406.03816), MCTS-DPO (2405.00451), plain UCT; `elenchus.search.settings` names each constant's.

Departures
1. A node is finished where the solution's text ends; ReST-MCTS* also finishes nodes whose value passes its gate.
2. The policy is not asked whether a partial solution is done (ReST-MCTS*'s reflection).
3. Self-evaluation is the actor's critique of the partial solution, or an exact checker with noise; MCTS-DPO asks a
   multiple-choice question with a reference solution. Its code's discount of it with depth is left out.
4. Priors are normalised over siblings; MCTS-DPO's are not.
5. Only equal steps count as duplicates; MCTS-DPO drops near-duplicates too, by hidden states.
"""

from __future__ import annotations

from functools import partial

from pydantic import Field

from elenchus import parts
from elenchus.engines.settings import Sampler
from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.search.settings import Search
from elenchus.stages import LAPTOP, Estimate, Lengths


class Params(Sampler, Search):
    """The search, and how the engine runs."""

    batch_size: int = Field(256, ge=1, description="sequences in flight; bounds memory")
    prefix_tokens: int = Field(
        65_536, ge=0, description="tokens of partial solutions kept as keys and values between rounds; 0: read anew"
    )


INPUTS = {"actor": "model", "problems": "problems", "value_model?": "process_head"}
OUTPUTS = ("nodes", "solutions")
SEEDED = True
THREADS = 1


def run(job: Job) -> None:
    """Write the trees' nodes and the terminal leaves as solutions, in the order of the problems."""
    p = job.params
    if (p.value == "value_model") != ("value_model" in job.inputs):
        raise UserError(f"value {p.value!r} {'needs' if p.value == 'value_model' else 'takes no'} input `value_model`")
    starts = range(0, job.inputs["problems"].count("problems"), chunk(p))
    parts.make(job, OUTPUTS, starts, partial(_begin, job), "problems searched")


def chunk(params: Params) -> int:
    """Return the problems of a part: twice as many sequences as are in flight, so that a round's end leaves few rows empty."""
    rows = params.leaves_per_round * min(
        params.breadth, params.rollouts if params.value == "rollouts" else params.breadth
    )
    return max(1, 2 * params.batch_size // rows)


def _begin(job: Job):
    """Return what searches the problems from one on, and its engine."""
    from elenchus import environment

    environment.torch_setup(THREADS)
    from elenchus import problems
    from elenchus.engines.opening import opened
    from elenchus.search.mcts import Searcher

    p = job.params
    engine = opened(job, "actor", p.prefix_tokens)
    evaluate, scorer = _evaluator(job, engine)
    searcher = Searcher(engine, engine.tokenizer, p, evaluate)

    def write(start: int) -> parts.Rows:
        table = job.inputs["problems"].rows("problems", start, start + chunk(p))
        trees = searcher.run([problems.from_row(row) for row in table.to_dict("records")], job.derive("search"))
        job.cost.oracle_calls = searcher.oracle_calls + getattr(evaluate, "calls", 0)  # so far
        job.cost.prompt = scorer.tokens if scorer else 0
        return {
            "nodes": [row for tree in trees for row in tree.rows()],
            "solutions": [row for tree in trees for row in leaves(tree, p.temperature, job.seed)],
        }

    return write, [engine]


def leaves(tree, temperature: float, seed: int) -> list[dict]:
    """Return the rows of the tree's finished leaves, where its root moved of the last root; `sample` is the node's number."""
    from elenchus import solutions

    return [
        solutions.read(
            tree.problem,
            node.text,
            i,
            solutions.tag(seed),
            finish=node.finish,
            tokens=node.length,
            logprob=node.logprob,
            temperature=float(temperature),
        )
        for i, node in enumerate(tree.nodes)
        if (i == tree.committed if tree.committed else node.terminal)
    ]


def _evaluator(job: Job, engine):
    """Return (evaluator, its scorer), None where the parameters do not ask for one."""
    from elenchus.search import evaluators

    if job.params.value == "self":
        return evaluators.by_critique(engine, engine.tokenizer, job.params.solution_tokens), None
    if job.params.value == "value_model":
        from elenchus.training import process_head

        scorer = process_head.load(job.inputs["value_model"].dir("process_head"), batch_size=job.params.batch_size)
        return evaluators.by_head(scorer), scorer
    if job.params.value == "checker":
        return evaluators.Checker(job.params.flip, job.derive("checker")), None
    return None, None


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return the estimate: steps and roll-outs, a prompt for each expansion."""
    step = min(tokens.step, params.step_tokens)
    trees, rounds = rows.get("problems", 0), params.simulations
    if params.commit:  # four steps down; a round that goes forward mostly meets what is expanded already
        rounds = params.commit * (params.commit_first + 3)
    expansions = rounds * params.leaves_per_round
    sampled = expansions * (
        params.breadth * step + (params.rollouts * tokens.rollout if params.value == "rollouts" else 0)
    )
    sampled += expansions * params.lookahead * params.roll_branch * step
    if params.token_budget:
        sampled = min(sampled, params.token_budget)
    return Estimate(
        rows=trees * (1 + expansions * params.breadth),
        sampled=trees * sampled,
        prompt=trees * expansions * tokens.prefix,
    )


def shares(params: Params, rows: dict[str, int]) -> int:
    """Return the parts that shards can share."""
    return -(-rows.get("problems", 0) // chunk(params))
