"""The tables of benchmarks' stages. They join `tables.SCHEMAS` when a kind that writes or reads them is loaded: what reaches
that mapping in code is then the same with and without them, and no other stage is made anew for a column here."""

from elenchus import tables

SCHEMAS: dict[str, dict[str, str]] = {
    "attempts": {  # solutions of a benchmark's items: published ones, or a model's, with what is known of them
        "attempt_id": "str",
        "problem_id": "str",
        "author": "str",  # "reference": the set's own solution; "": the model that is asked
        "sample": "int",
        "text": "str",
        "steps": "list[str]",
        "answer": "str",
        "parsed": "bool",
        "correct": "bool?",  # outcome, null where nobody labelled it
        "first_error": "int?",  # 0-based, -1 none, null where steps have no labels
        "tokens": "int?",  # null where nobody counted
    },
    "replies": {  # what a model wrote for prompts of a benchmark
        "reply_id": "str",
        "about": "str",  # the problem (solvers) or attempt (critics, correctors) that it is about
        "problem_id": "str",
        "sample": "int",
        "prompt": "str",  # as the model read it, "" where imported
        "text": "str",
        "finish": "str",  # end, stop, length; "too long": the prompt did not fit; kept; scored; imported
        "tokens": "int?",  # written; null where imported
        "prompt_tokens": "int?",
        "unknown": "int",  # tokens of the prompt that are the vocabulary's "unknown"
        "logprob": "float",
        "scores": "list[float]",  # probability that each step is right, where the critic scores and does not write
    },
    "verdicts": {  # critics' replies, read and held against the labels
        "reply_id": "str",
        "attempt_id": "str",
        "problem_id": "str",
        "sample": "int",
        "parsed": "bool",
        "verdict": "str",  # "right", "wrong", "" where unread
        "first_error": "int?",
        "label": "int?",  # the attempt's first error, null where steps have no labels
        "correct": "bool?",  # the attempt's outcome
        "scores": "list[float]",
    },
}

tables.SCHEMAS.update(SCHEMAS)
