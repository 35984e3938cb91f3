"""HumanEval (Chen et al. 2021): Python functions from their docstrings, checked by running tests in the sandbox."""

from __future__ import annotations

from elenchus.benchmarks.card import Card
from elenchus.benchmarks.items import Item, PublishedSolution, problem
from elenchus.benchmarks.records import Record
from elenchus.problems import Problem

CARD = Card(
    "HumanEval",
    "https://github.com/openai/human-eval",
    "MIT",
    {"test": ("HumanEval.jsonl.gz", "HumanEval.jsonl", "openai_humaneval/test-*.parquet", "example_problem.jsonl")},
    rows={"test": 164},
    hub="openai/openai_humaneval",
    revision="7dce6050a7d6d172f3cc5c32aa97f52fa1a2e544",
    sha256={"HumanEval.jsonl.gz": ("b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef",)},
    flaws="Tests are few: wrong programs pass some of them (EvalPlus).",
)


def item(record: Record, place: str) -> Item:
    """Return the item; the published solution is the canonical body."""
    prompt, body = record.text("prompt"), record.text("canonical_solution")
    meta = {"test": record.text("test"), "entry_point": record.text("entry_point")}
    made = problem("humaneval", place, prompt, "", **meta)
    return Item(
        made, record.text("task_id"), (PublishedSolution("reference", prompt + body, answer=body, correct=True),)
    )


def program(problem: Problem, answer: str) -> str:
    """Return the program that fails unless `answer` (a body, or a whole function) passes the tests."""
    whole = f"def {problem.meta['entry_point']}(" in answer
    return (
        f"{'' if whole else problem.prompt}{answer}\n{problem.meta['test']}\ncheck({problem.meta['entry_point']})\n"
        if not whole
        # helpers and imports that the prompt defines may be used by a whole function too
        else f"{problem.prompt}    pass\n\n{answer}\n{problem.meta['test']}\ncheck({problem.meta['entry_point']})\n"
    )


def check(problem: Problem, answer: str) -> bool:
    """Return whether `answer` passes the tests, in the sandbox."""
    from elenchus import sandbox

    return sandbox.run(program(problem, answer)).ok
