"""Revisers: models that write a solution anew after reading a critique of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from elenchus import conversation
from elenchus.critics.drafts import Draft
from elenchus.engines import Completion, Engine, Sampling
from elenchus.problems import Solution, first_error


@dataclass(frozen=True)
class Refinement:
    """One revision. first_error: exact, -1 none (also where the text is no solution)."""

    text: str
    solution: Solution
    correct: bool
    first_error: int
    tokens: int
    logprob: float


def prompt(tokenizer, draft: Draft, critique: str) -> str:
    """Return the prompt text that asks for a refinement of `draft` under `critique`."""
    return conversation.render(tokenizer, conversation.refine(draft.problem.prompt, draft.text, critique), "assistant")


def revise(
    engine: Engine, tokenizer, tasks: Sequence[tuple[Draft, str]], sampling: Sampling, seed: int, n: int = 1
) -> list[list[Refinement]]:
    """Return n refinements for each (draft, critique text)."""
    completions = engine.sample([prompt(tokenizer, *task) for task in tasks], sampling, seed, n)
    return [[read(d, c) for c in samples] for (d, _), samples in zip(tasks, completions, strict=True)]


def read(draft: Draft, completion: Completion) -> Refinement:
    """Return what a completion says as a solution of the draft's problem, checked."""
    text = completion.text.strip()
    solution = draft.family.parse(draft.problem, text)
    correct = solution.ok and draft.family.check_answer(draft.problem, solution.answer)
    first = first_error(draft.family.check_steps(draft.problem, list(solution.steps))) if solution.ok else -1
    return Refinement(text, solution, bool(correct), first, len(completion.tokens), sum(completion.logprobs))


def unchanged(draft: Draft) -> Refinement:
    """Return the draft itself as its refinement, at no cost (for a critique that finds nothing to mend)."""
    solution = draft.family.parse(draft.problem, draft.text)
    return Refinement(draft.text, solution, draft.correct, draft.first_error, 0, 0.0)
