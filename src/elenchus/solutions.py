"""Rows of the `solutions` table: what a model wrote, read by the family and labelled by its exact verifiers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from elenchus import conversation, problems
from elenchus.engines import Completion, Engine, Sampling
from elenchus.problems import Problem, first_error


def prompt(tokenizer, problem: Problem) -> str:
    """Return the prompt text that asks for a solution of `problem`."""
    return conversation.render(tokenizer, conversation.solve(problem.prompt), "assistant")


def solve(
    engine: Engine, tokenizer, asked: Sequence[Problem], sampling: Sampling, seed: int, n: int, tag: str, first: int = 0
) -> list[dict]:
    """Return n `solutions` rows for each problem, samples of a problem together, numbered from `first`."""
    completions = engine.sample([prompt(tokenizer, p) for p in asked], sampling, seed, n)
    return [
        row(problem, completion, first + i, sampling.temperature, tag)
        for problem, samples in zip(asked, completions, strict=True)
        for i, completion in enumerate(samples)
    ]


def row(problem: Problem, completion: Completion, sample: int, temperature: float, tag: str) -> dict:
    """Return the row of one completion. `tag` tells this stage's solutions from those of others."""
    facts = {
        "finish": completion.finish,
        "tokens": len(completion.tokens),
        "logprob": sum(completion.logprobs),
        "temperature": float(temperature),
    }
    return read(problem, completion.text.strip(), sample, tag, **facts)


def read(problem: Problem, text: str, sample: int, tag: str, **facts) -> dict:
    """Return the row of a solution's text: steps, answer, outcome, exact first error (-1 where unreadable too)."""
    family = problems.load(problem.family)
    solution = family.parse(problem, text)
    checks = family.check_steps(problem, list(solution.steps)) if solution.ok else []
    wrong = first_error(checks)
    return {
        "solution_id": f"{problem.id}-{tag}.{sample}",
        "problem_id": problem.id,
        "family": problem.family,
        "sample": sample,
        "text": text,
        "steps": list(solution.steps),
        "answer": solution.answer,
        "parsed": solution.ok,
        "correct": bool(solution.ok and family.check_answer(problem, solution.answer)),
        "first_error": wrong,
        "error": checks[wrong].error if wrong >= 0 else "",
        **facts,
    }


def tag(seed: int) -> str:
    """Return the six hexadecimal digits that tell a stage's solutions from another's, from the stage's seed."""
    return f"{seed % 16**6:06x}"


def chunks(rows: Sequence, samples: int, batch_size: int) -> Iterator[Sequence]:
    """Yield parts of `rows` that fill a batch 16 times: small enough to show progress, too big to idle at the end."""
    size = chunk_size(samples, batch_size)
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def chunk_size(samples: int, batch_size: int) -> int:
    """Return the rows of a part that fills a batch 16 times with `samples` of each."""
    return max(1, 16 * batch_size // max(samples, 1))
