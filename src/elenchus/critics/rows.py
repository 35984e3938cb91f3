"""Rows of the `critiques` table, whoever wrote the critique."""

from __future__ import annotations

from elenchus.critics.drafts import Draft
from elenchus.critics.format import Critique


def row(
    draft: Draft,
    critic: str,
    sample: int,
    text: str,
    critique: Critique,
    *,
    confidence: float,
    tokens: int = 0,
    logprob: float = 0.0,
) -> dict:
    """Return the row of one critique; what was not parsed has no verdict, no first error and confidence NaN."""
    return {
        "critique_id": f"{draft.id}~{critic}.{sample}",
        "solution_id": draft.id,
        "problem_id": draft.problem.id,
        "critic": critic,
        "sample": sample,
        "text": text,
        "parsed": critique.parsed,
        "parse_error": critique.problem,
        "verdict": critique.verdict,
        "first_error": critique.first_error,
        "bad_steps": [unit.step for unit in critique.bad],
        "errors": [unit.error for unit in critique.bad],
        "fixes": [unit.expected for unit in critique.bad],
        "confidence": confidence if critique.parsed else float("nan"),
        "tokens": tokens,
        "logprob": logprob,
    }
