"""Where values of partial solutions come from, other than roll-outs: a value model, the model's own critique, a checker."""

from __future__ import annotations

from elenchus import problems, seeds
from elenchus.critics import model as critic_model
from elenchus.critics.drafts import Draft
from elenchus.engines import Engine, Sampling
from elenchus.problems import Problem
from elenchus.search.mcts import Evaluator


def by_head(scorer) -> Evaluator:
    """Return the evaluator of a process head (`elenchus.training.process_head.Scorer`): the last step's score."""

    def evaluate(asked: list[tuple[Problem, list[str]]]) -> list[float]:
        scores = scorer.score_steps([problem.prompt for problem, _ in asked], [steps for _, steps in asked])
        return [own[-1] for own in scores]

    return evaluate


def by_critique(engine: Engine, tokenizer, max_tokens: int) -> Evaluator:
    """Return the evaluator by self-evaluation: the least probability of "good" in the model's own greedy critique.

    The critic sees the partial solution as the family renders it; 0.5 where its critique cannot be read.
    """
    sampling = Sampling(temperature=0.0, max_tokens=max_tokens)

    def evaluate(asked: list[tuple[Problem, list[str]]]) -> list[float]:
        drafts = []
        for i, (problem, steps) in enumerate(asked):
            text = problems.load(problem.family).render(problem, steps)
            drafts.append(Draft(str(i), problem, text, tuple(steps), correct=False, first_error=-1))
        scores = critic_model.step_scores(engine, tokenizer, drafts, sampling, seed=0)
        return [min(own) if own else 0.5 for own in scores]

    return evaluate


class Checker:
    """The evaluator by exact distance with noise: 1 where a right answer can still be reached, 0 where not, or turned round.

    It stands for a self-evaluation of known quality: its area under the curve is 1 - `flip`. The same partial solution
    gets the same word each time.
    """

    def __init__(self, flip: float, seed: int):
        self.flip, self.seed, self.calls = flip, seed, 0

    def __call__(self, asked: list[tuple[Problem, list[str]]]) -> list[float]:
        """Return the checker's word on each partial solution."""
        found = []
        for problem, steps in asked:
            reachable = problems.load(problem.family).distance(problem, list(steps)) is not None
            turned = seeds.rng(self.seed, "checker", problem.id, *steps).random() < self.flip
            found.append(float(reachable != turned))
        self.calls += len(asked)
        return found
