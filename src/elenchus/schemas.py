"""The columns of every table that stages exchange, in one place.

A stage's digest covers the columns of the tables that it writes (`graph.py`), so that a new table renames no other stage.
"""

from __future__ import annotations

# Type names: str, int, float, bool, and lists of them. "?" marks a column that may hold nulls.
SCHEMAS: dict[str, dict[str, str]] = {
    "problems": {"problem_id": "str", "family": "str", "split": "str", "prompt": "str", "answer": "str", "meta": "str"},
    "solutions": {
        "solution_id": "str",
        "problem_id": "str",
        "family": "str",
        "sample": "int",  # which of the n samples of this problem
        "temperature": "float",
        "text": "str",
        "steps": "list[str]",  # without step marks
        "answer": "str",
        "parsed": "bool",
        "correct": "bool",  # outcome, by the family's answer checker
        "first_error": "int",  # exact: 0-based, -1 none (also -1 where unparsed: see `parsed`)
        "error": "str",  # type of the first error, "" none
        "finish": "str",
        "tokens": "int",
        "logprob": "float",  # sum over tokens, untempered
    },
    "critiques": {
        "critique_id": "str",
        "solution_id": "str",
        "problem_id": "str",
        "critic": "str",
        "sample": "int",
        "text": "str",
        "parsed": "bool",
        "parse_error": "str",  # "" or why the text is not a critique
        "verdict": "str",  # "right", "wrong", "" where unparsed
        "first_error": "int?",  # 0-based, -1 none, null where unparsed
        "bad_steps": "list[int]",
        "errors": "list[str]",  # error type of each bad step
        "fixes": "list[str]",  # what each bad step's result should be
        "confidence": "float",  # the smallest probability among its verdict words; 1 - noise for oracles
        "tokens": "int",
        "logprob": "float",
    },
    "refinements": {
        "refinement_id": "str",
        "critique_id": "str",
        "solution_id": "str",
        "problem_id": "str",
        "sample": "int",
        "text": "str",
        "steps": "list[str]",
        "answer": "str",
        "parsed": "bool",
        "correct": "bool",
        "was_correct": "bool",  # the solution before
        "first_error": "int",
        "tokens": "int",
        "logprob": "float",
    },
    "nodes": {  # search trees
        "problem_id": "str",
        "node": "int",  # 0 is the root
        "parent": "int",  # -1 for the root
        "depth": "int",
        "step": "str",
        "visits": "int",
        "value": "float",  # backed-up
        "prior": "float",  # probability of the step under the policy (normalised over siblings)
        "model_value": "float?",  # what the evaluator said when the node was made
        "terminal": "bool",
        "correct": "bool?",  # terminal nodes only
        "tokens": "int",  # sampled to make this node
    },
    "labels": {  # one row a path; labels per step, NaN where there is none
        "path_id": "str",
        "problem_id": "str",
        "steps": "list[str]",
        "labels": "list[float]",  # in [0, 1]
        "source": "str",  # checker, tree, rollouts
    },
    "units": {  # analytical critique units, MultiCritique's term
        "solution_id": "str",
        "critic": "str",
        "step": "int",
        "error": "str",
        "fix": "str",
        "quality": "float",  # the meta-judge's, in [0, 1]
        "severity": "float",  # how bad this unit is as critique, 0 none
        "kept": "bool",
    },
    "pairs": {
        "pair_id": "str",
        "problem_id": "str",
        "solution_id": "str",
        "prompt": "str",  # JSON list of messages
        "reply": "str",
        "chosen": "str",
        "rejected": "str",
        "chosen_critic": "str",
        "rejected_critic": "str",
        "reason": "str",
        "margin": "float",  # severity of rejected minus severity of chosen
        "chosen_gain": "float",  # mean outcome of revisions under it
        "rejected_gain": "float",
        "kept": "bool",  # passed the revision filter
    },
    "step_pairs": {  # preferences between continuations of one partial solution; whole solutions continue the empty one
        "pair_id": "str",
        "problem_id": "str",
        "prompt": "str",  # JSON list of messages
        "reply": "str",
        "prefix": "str",  # what both replies begin with
        "steps": "list[str]",  # its steps, without marks
        "chosen": "str",
        "rejected": "str",
        "chosen_ends": "bool",  # whether the reply ends behind it
        "rejected_ends": "bool",
        "chosen_steps": "list[str]",  # of the continuation, without marks
        "rejected_steps": "list[str]",
        "chosen_value": "float",  # what the search found it worth; of whole solutions the outcome
        "rejected_value": "float",
        "chosen_visits": "int",
        "rejected_visits": "int",
        "smoothing": "float",  # probability that the preference is the other way round
    },
    "scores": {
        "solution_id": "str",
        "problem_id": "str",
        "step_scores": "list[float]",  # in [0, 1]
        "score": "float",  # the aggregate named in the stage's parameters
    },
    "examples": {  # training examples
        "example_id": "str",
        "problem_id": "str",
        "prompt": "str",  # JSON list of messages
        "reply": "str",  # role that replies
        "completion": "str",
    },
    "cases": {  # single steps to judge
        "case_id": "str",
        "problem_id": "str",
        "prefix": "list[str]",  # the steps before it
        "step": "str",
        "right": "str",  # the step that should stand there, "" where not known
        "ok": "bool",  # exact
        "error": "str",  # its type, "" none
        "origin": "str",  # who wrote it: solver, generator, random
    },
    "judgements": {  # of single steps, by a step critic
        "case_id": "str",
        "problem_id": "str",
        "ok": "bool",  # exact
        "said": "str",  # "good", "bad", "" where it cannot be read
        "text": "str",
        "tokens": "int",
    },
    "moves": {  # what players wrote in games, and what it earned
        "move_id": "str",
        "game": "int",
        "player": "str",
        "problem_id": "str",
        "prompt": "str",  # JSON list of messages
        "reply": "str",  # role that replies
        "completion": "str",
        "reward": "float",
        "outcome": "str",  # the game's end in one word
    },
    "splices": {  # revision trajectories
        "problem_id": "str",
        "bad": "str",  # solution ids
        "good": "str",
        "steps": "list[str]",  # as played again; step `kept` is the revision signal
        "kept": "int",  # steps of the bad path
        "consistent": "bool",  # the good actions still lead to the goal
        "used": "bool",
    },
    "metrics": {  # one row a metric of one subject
        "metric": "str",
        "value": "float",
        "low": "float?",  # 95 % bootstrap interval over problems
        "high": "float?",
        "n": "int",  # problems (or solutions) it is over
    },
    "items": {"metric": "str", "item": "str", "value": "float", "weight": "float"},  # per problem, for paired tests
    "summary": {  # metrics of a recipe; seed null: over all its seeds
        "arm": "str",
        "round": "int",
        "subject": "str",
        "seed": "int?",
        "metric": "str",
        "value": "float",
        "low": "float?",
        "high": "float?",
        "items": "int",  # problems
        "seeds": "int",
    },
    "history": {"step": "int", "metric": "str", "value": "float"},  # of a training
    # of published benchmarks
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
