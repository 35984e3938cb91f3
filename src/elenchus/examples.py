"""Training examples: rows (prompt as JSON messages, replying role, completion) made of solutions, critiques, pairs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from elenchus import conversation, problems
from elenchus.conversation import Message

if TYPE_CHECKING:
    import pandas as pd

    from elenchus.problems import Problem


def example(name: str, problem_id: str, messages: list[Message], reply: str, completion: str) -> dict:
    """Return one row of an `examples` table."""
    prompt = json.dumps(messages, ensure_ascii=False)
    return {"example_id": name, "problem_id": problem_id, "prompt": prompt, "reply": reply, "completion": completion}


def from_solutions(known: dict[str, Problem], solutions: pd.DataFrame) -> list[dict]:
    """Return an example of solving for each solution. known: the problems by id."""
    return [
        example(
            row["solution_id"],
            row["problem_id"],
            conversation.solve(known[row["problem_id"]].prompt),
            "assistant",
            row["text"],
        )
        for row in solutions.to_dict("records")
    ]


def from_references(known: Iterable[Problem]) -> list[dict]:
    """Return an example of solving for each problem: its family's exact solution."""
    rows = []
    for problem in known:
        family = problems.load(problem.family)
        text = family.render(problem, family.reference(problem))
        rows.append(example(reference_id(problem), problem.id, conversation.solve(problem.prompt), "assistant", text))
    return rows


def reference_id(problem: Problem) -> str:
    """Return the name of the example that a problem's exact solution makes."""
    return f"{problem.id}~reference"


def from_critiques(known: dict[str, Problem], solutions: pd.DataFrame, critiques: pd.DataFrame) -> list[dict]:
    """Return an example of criticising for each critique."""
    text = dict(zip(solutions["solution_id"], solutions["text"], strict=True))
    return [
        example(
            row["critique_id"],
            row["problem_id"],
            conversation.critique(known[row["problem_id"]].prompt, text[row["solution_id"]]),
            "critic",
            row["text"],
        )
        for row in critiques.to_dict("records")
    ]


def from_refinements(
    known: dict[str, Problem], solutions: pd.DataFrame, critiques: pd.DataFrame, refinements: pd.DataFrame
) -> list[dict]:
    """Return an example of refining for each refinement."""
    before = dict(zip(solutions["solution_id"], solutions["text"], strict=True))
    said = dict(zip(critiques["critique_id"], critiques["text"], strict=True))
    return [
        example(
            row["refinement_id"],
            row["problem_id"],
            conversation.refine(known[row["problem_id"]].prompt, before[row["solution_id"]], said[row["critique_id"]]),
            "assistant",
            row["text"],
        )
        for row in refinements.to_dict("records")
    ]


def from_pairs(pairs: pd.DataFrame, side: str = "chosen") -> list[dict]:
    """Return an example for the chosen (or rejected) side of each kept pair."""
    if side not in ("chosen", "rejected"):
        raise ValueError(f"side {side!r} is neither chosen nor rejected")
    kept: Sequence[dict] = pairs[pairs["kept"].to_numpy(dtype=bool)].to_dict("records")
    return [
        example(f"{r['pair_id']}~{side}", r["problem_id"], json.loads(r["prompt"]), r["reply"], r[side]) for r in kept
    ]
