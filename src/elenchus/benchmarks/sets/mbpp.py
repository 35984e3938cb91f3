"""MBPP (Austin et al. 2021): short Python programs from one sentence, checked by running asserts in the sandbox."""

from __future__ import annotations

from elenchus.benchmarks.card import Card
from elenchus.benchmarks.items import Item, PublishedSolution, problem
from elenchus.benchmarks.records import Record
from elenchus.problems import Problem

CARD = Card(
    "MBPP",
    "https://github.com/google-research/google-research/tree/master/mbpp",
    "CC-BY-4.0",
    {"all": ("mbpp.jsonl",), "test": ("mbpp_test.jsonl", "full/test-*.parquet"), "train": ("full/train-*.parquet",)},
    rows={"all": 974, "test": 500},
    hub="google-research-datasets/mbpp",
    revision="4bb6404fdc6cacfda99d4ac4205087b89d32030c",
    sha256={
        "mbpp.jsonl": ("ccf64ceae9c5403bf50a044cb6d505bfd2a2963ee58338ba268fd65beab92a9f",),
        "mbpp_test.jsonl": ("e57e9c9999aa35128f4d0b6a486979c2c1dce4f4b8c0680bf92bc6f5f147779f",),
    },
    flaws="The file has all 974; the official test is task_id 11 to 510, training 601 to 974, prompts 1 to 10. Many tasks "
    "cannot be solved without seeing a test, which is why the usual prompt shows them. "
    "mbpp_test.jsonl lacks the set-up of task 367, so that its reference fails there.",
)


def item(record: Record, place: str) -> Item:
    """Return the item; the prompt is the sentence, the tests stand in `meta`."""
    tests = record.texts(record.has("test_list", "test") or "test_list")
    if not tests:
        raise record.no("test_list", "no test", "one assert or more")
    setup = record.text("test_setup_code", empty=True) if record.has("test_setup_code") else ""
    code = record.text("code").replace("\r\n", "\n")
    prompt = record.text(record.has("text", "prompt") or "text")
    made = problem("mbpp", place, prompt, "", tests=list(tests), setup=setup)
    return Item(
        made, str(record.whole("task_id", 0)), (PublishedSolution("reference", code, answer=code, correct=True),)
    )


def program(problem: Problem, answer: str) -> str:
    """Return the program that fails unless `answer` passes all tests; a set-up (task 367) uses the answer's classes."""
    return "\n".join([answer, problem.meta["setup"], *problem.meta["tests"], ""])


def check(problem: Problem, answer: str) -> bool:
    """Return whether `answer` passes the tests, in the sandbox."""
    from elenchus import sandbox

    return sandbox.run(program(problem, answer)).ok
