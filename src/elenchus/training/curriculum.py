"""The seed model's training examples: drills, solving, criticising and refining, as token ids with loss weights.

Every batch is a function of (seed, step, shares): nothing of the data's state has to be kept to resume.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from types import ModuleType

from elenchus import conversation, problems, seeds
from elenchus.critics import format as critique_format
from elenchus.models import END
from elenchus.problems import Problem

TASKS = ("drill", "solve", "critique", "refine")


@dataclass(frozen=True)
class Example:
    """Token ids of one sequence, and the weight of each in the loss (0: not to be predicted)."""

    ids: tuple[int, ...]
    weights: tuple[float, ...]


@dataclass(frozen=True)
class Curriculum:
    """What examples are made of.

    error_rates: chances per step of an injected error, one drawn for each solution that is criticised. verdict_weight:
    the loss weight of a critique's verdict words, against 1 for all others. In drills every word weighs 1: there the
    facts have to be learned, which heavy verdicts drown (measured: no fact learned in 550 steps, against all in 225).
    """

    family: ModuleType
    options: object
    vocab: dict[str, int]
    error_rates: tuple[float, ...]
    verdict_weight: float

    def batch(self, seed: int, step: int, shares: dict[str, float], size: int) -> dict[str, list[Example]]:
        """Return `size` examples by task, drawn in proportion to `shares`."""
        rng = seeds.rng(seed, "batch", step)
        drawn = rng.choices(list(shares), list(shares.values()), k=size)
        return {task: [self.example(task, rng) for _ in range(drawn.count(task))] for task in shares if task in drawn}

    def example(self, task: str, rng: random.Random) -> Example:
        """Return one example of `task`."""
        if task == "drill":
            drill = self.family.drills(self.options, rng)
            return self.encode(drill.prompt, drill.completion, drill.predictable)
        problem = problems.draw(self.family, self.options, "train", rng)
        messages, reply, completion = getattr(self, f"_{task}")(problem, rng)
        return self.encode(prompt(messages, reply), f"{completion} {END}")

    def encode(self, prompt: str, completion: str, predictable: tuple[bool, ...] | None = None) -> Example:
        """Return the example whose loss is over the completion (where given, over its predictable words)."""
        before, words = prompt.split(), completion.split()
        if predictable is None:
            weights = [self.verdict_weight if word in critique_format.VERDICT_WORDS else 1.0 for word in words]
        else:
            weights = [float(known) for known in predictable]
        return Example(tuple(self.vocab[word] for word in before + words), (0.0,) * len(before) + tuple(weights))

    def _solve(self, problem: Problem, rng: random.Random):
        solution = self.family.render(problem, self.family.reference(problem))
        return conversation.solve(problem.prompt), "assistant", solution

    def _critique(self, problem: Problem, rng: random.Random):
        steps = self.family.corrupt(problem, rng, rng.choice(self.error_rates))
        critique = critique_format.render(critique_format.from_checks(self.family.check_steps(problem, steps)))
        return conversation.critique(problem.prompt, self.family.render(problem, steps)), "critic", critique

    def _refine(self, problem: Problem, rng: random.Random):
        messages, _, critique = self._critique(problem, rng)
        refined = self.family.render(problem, self.family.reference(problem))
        return conversation.refine(problem.prompt, messages[1]["content"], critique), "assistant", refined


def prompt(messages: list[conversation.Message], reply: str) -> str:
    """Return the prompt as `models.CHAT_TEMPLATE` writes it, but for a last space, without its engine's cost."""
    return " ".join([*(f"<{m['role']}> {m['content']}" for m in messages), f"<{reply}>"])
