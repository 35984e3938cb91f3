"""Reasoning Gym: any of its hundred-odd procedural tasks (arXiv 2505.24760) as a family whose outcomes can be verified.

    question   What ␣is ␣ 4 ␣ + ␣ 1 7 ?          (pieces; `text: plain` leaves it as the task wrote it)
    solution   2 1 = answer

Options name a task and its configuration. An entry is drawn with a fresh 31-bit seed, from a data set of size one: the
library seeds entry i of a data set with seed + i, so that data sets of neighbouring seeds overlap. A problem keeps the
task, the configuration and the seed, from which its entry is made again where an answer is to be verified. Its id, and so
its split, is decided by task and question alone: the same question never is in two splits, whatever the configuration.
An answer is right where the task's own `score_answer` gives the full score.

What the contract's step verifier means where only outcomes can be verified: a solution has one step, its answer, and
`check_steps` judges it by the outcome. A critique's working is the answer as it should be (the claimed one where that is
right, since a task can have several); behind the arrow stand the first words in which the two differ. `corrupt` puts a
wrong answer of the same form in the right one's place, `distance` is 1 before the answer and 0 after a right one, drills
are comparisons of two answers. So every stage runs; those that credit steps (search, process heads) find one to credit.
Noisy exact critics (`critics.oracle`) who take a wrong step for good repeat what it says before its last `=`: this is what
`= answer` is for. Without it their working would give the right answer away.

Text is in pieces (`elenchus.pieces`) for models that know words only, or plain for pretrained models. There a step is all
that was written, the answer is what stands between the last <answer> and </answer>, and a critique's working is the
claimed answer.

Nine tasks cannot be had: their verifier runs the answer as a Python expression, and answers are a model's text.
The library is not installed by default: `pip install 'elenchus[gym]'`, or `make gym`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from elenchus import pieces
from elenchus.critics.format import BAD, GIVES, GOOD, NONE, WORDS
from elenchus.errors import UserError, did_you_mean
from elenchus.problems import Check, Drill, Problem, Solution
from elenchus.worlds import gym_tasks

ERRORS = ("answer", "format")
TRIES = 50  # draws of a wrong answer
END = " = answer"  # of a solution in pieces
ASK = "\n\nThink first, then write the final answer between <answer> and </answer>."


class Options(BaseModel):
    """Which task, how hard, and in which form its text is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str = Field("chain_sum", description="the task's name in Reasoning Gym")
    small: bool = Field(
        False, description="the configuration that the seed model can learn (docs/families.md has the tasks)"
    )
    config: dict[str, Any] = Field(
        default_factory=dict,
        description="the task's own configuration; keys that are left out are as the task has them",
    )
    text: Literal["pieces", "plain"] = Field("pieces", description="plain is for pretrained models")

    @model_validator(mode="after")
    def _known(self) -> Options:
        if self.small and self.task not in gym_tasks.SMALL:
            raise ValueError(
                f"no small configuration of {self.task!r}{did_you_mean(self.task, gym_tasks.SMALL)}; "
                f"there are: {', '.join(gym_tasks.SMALL)}"
            )
        gym_tasks.made(self.task, self.settings())
        return self

    def settings(self) -> str:
        """Return the configuration as JSON, sorted by key."""
        return json.dumps({**(gym_tasks.SMALL[self.task] if self.small else {}), **self.config}, sort_keys=True)


def generate(options: Options, rng: random.Random) -> Problem:
    """Return one problem of the task."""
    return build(options.task, json.loads(options.settings()), rng.getrandbits(31), options.text)


def build(task: str, config: dict, seed: int, text: str = "pieces") -> Problem:
    """Return the problem that the task makes of `seed` under `config`; UserError where it gives no reference answer."""
    settings = json.dumps(config, sort_keys=True)
    question = gym_tasks.entry_of(task, settings, seed)["question"]
    digest = hashlib.sha256(f"gym {task} {question}".encode()).hexdigest()
    meta = {"task": task, "config": config, "seed": seed, "text": text, "difficulty": 1}
    problem = Problem(f"gym-{digest[:12]}", "gym", "", gym_tasks.entry_of(task, settings, seed)["answer"], meta)
    return dataclasses.replace(problem, prompt=_written(problem, question) + (ASK if text == "plain" else ""))


def reference(problem: Problem) -> list[str]:
    """Return the one step of the task's own answer."""
    return [_step(problem, problem.answer)]


def render(problem: Problem, steps: list[str]) -> str:
    """Return the text of a solution: its step."""
    return " ".join(steps)


def parse(problem: Problem, text: str) -> Solution:
    """Return the solution that is written: its text is its one step. Not ok where there is no answer in it to be read."""
    answer = _read(problem, text)
    return Solution((text,), answer or "", True) if answer is not None else Solution((), "", False)


def check_answer(problem: Problem, answer: str) -> bool:
    """Return whether the task's own verifier gives the full score; one that fails over an answer rejects it."""
    meta = problem.meta
    return gym_tasks.right(meta["task"], json.dumps(meta["config"], sort_keys=True), meta["seed"], answer)


def check_steps(problem: Problem, steps: list[str]) -> list[Check]:
    """Return the verdict on the one step: `answer` where the outcome verifier rejects it, `format` where it has none.

    working: the words of the answer as it should be (of the claimed one in plain text); expected and claimed: the first
    words in which these two differ, `none` for the one that has ended; the last word of both where they do not differ.
    Steps behind the first answer nothing (`format`).
    """
    checks = [Check(False, "format", NONE, NONE, NONE)] * len(steps)
    if steps:
        answer = _read(problem, steps[0])
        right = answer is not None and check_answer(problem, answer)
        ought = _words(problem, answer if right else problem.answer)
        if answer is None:
            checks[0] = Check(False, "format", NONE, ought[0], NONE)
        else:
            claimed = _words(problem, answer)
            checks[0] = _compare(ought, claimed, right)
            if problem.meta["text"] == "plain":
                checks[0] = dataclasses.replace(checks[0], working=" ".join(claimed))
    return checks


def corrupt(problem: Problem, rng: random.Random, rate: float) -> list[str]:
    """Return with probability `rate` the step of a wrong answer, else that of the right one.

    A wrong answer is that of another question of the task, or the right one with a digit or letter changed, the ends of a
    word or number exchanged, or one character left out, each as it comes out where the verifier rejects it. Where fifty
    draws bring none, the right answer stays.
    """
    return [_step(problem, _wrong(problem, rng) if rng.random() < rate else problem.answer)]


def error_types() -> tuple[str, ...]:
    """Return the names that Check.error can take."""
    return ERRORS


def distance(problem: Problem, steps: list[str]) -> int | None:
    """Return 1 before the answer, 0 after a right one, None after anything else."""
    if not steps:
        return 1
    return 0 if all(check.ok for check in check_steps(problem, steps)) else None


def vocabulary(options: Options) -> list[str]:
    """Return the pieces of questions, answers and critiques; UserError for plain text, which has no closed vocabulary."""
    if options.text == "plain":
        raise UserError(
            f"gym: the seed model knows words of a closed vocabulary, and the text of {options.task} is plain. "
            "Write options: {text: pieces}, or start from a pretrained model"
        )
    return [
        "#1",
        *END.split(),
        *pieces.vocabulary(sorted(gym_tasks.known(options.task, options.settings()))),
        *WORDS,
        *ERRORS,
    ]


def drills(options: Options, rng: random.Random) -> Drill:
    """Return three comparisons of answers: the claimed one, then the judgement of a critique that knows the right one.

    What the two differ in can be predicted, and the verdict.
    """
    words: list[str] = []
    known: list[bool] = []
    for _ in range(3):
        problem = generate(options, rng)
        claimed = _words(problem, _read(problem, corrupt(problem, rng, 0.5)[0]))
        check = _compare(_words(problem, problem.answer), claimed, claimed == _words(problem, problem.answer))
        before = [*claimed, "#1", *check.working.split(), GIVES]
        unit = [check.expected, check.claimed, *([GOOD] if check.ok else [BAD, check.error])]
        words += before + unit
        known += [False] * len(before) + [True] * len(unit)
    return Drill("", " ".join(words), tuple(known))


def _settings(problem: Problem) -> str:
    return json.dumps(problem.meta["config"], sort_keys=True)


def _written(problem: Problem, text: str) -> str:
    """Return a question or an answer in the problem's form."""
    return (
        text
        if problem.meta["text"] == "plain"
        else pieces.write(text, gym_tasks.known(problem.meta["task"], _settings(problem)))
    )


def _step(problem: Problem, answer: str) -> str:
    """Return the step that gives `answer`."""
    return f"<answer>{answer}</answer>" if problem.meta["text"] == "plain" else _written(problem, answer) + END


def _read(problem: Problem, text: str) -> str | None:
    """Return the answer in a solution's text, None where there is none."""
    if problem.meta["text"] == "plain":
        found = re.findall(r"<answer>(.*?)</answer>", text, re.DOTALL)
        return found[-1].strip() if found else None
    try:
        return pieces.read(text.removesuffix(END)) if text.endswith(END) else None
    except ValueError:
        return None


def _words(problem: Problem, answer: str) -> list[str]:
    """Return an answer as words of a critique: in plain text, those that a critique would read as its own get a `\\`."""
    if problem.meta["text"] == "pieces":
        return _written(problem, answer).split(" ")
    return [f"\\{word}" if word.startswith("#") or word == GIVES else word for word in answer.split()] or [pieces.EMPTY]


def _compare(ought: list[str], claimed: list[str], right: bool) -> Check:
    """Return the verdict on an answer with the words `claimed` where those of the right one are `ought`."""
    longest = range(max(len(ought), len(claimed)))
    pairs = [(ought[i] if i < len(ought) else NONE, claimed[i] if i < len(claimed) else NONE) for i in longest]
    expected, said = next((pair for pair in pairs if pair[0] != pair[1]), pairs[-1])
    return Check(right, "" if right else "answer", " ".join(ought), expected, said)


def _wrong(problem: Problem, rng: random.Random) -> str:
    """Return an answer of the right one's form that the verifier rejects; the right one where none was drawn."""
    others = gym_tasks.sample(problem.meta["task"], _settings(problem))
    for _ in range(TRIES):
        answer = rng.choice(others)["answer"] if rng.random() < 0.3 else _spoilt(problem.answer, rng)
        if not check_answer(problem, answer):
            return answer
    return problem.answer


def _spoilt(text: str, rng: random.Random) -> str:
    """Return `text` with one slip: a digit or letter changed, two of them exchanged, or one left out."""
    places = [i for i, c in enumerate(text) if c.isascii() and c.isalnum()]
    if not places:
        return text
    at, kind = rng.choice(places), rng.random()
    if kind < 0.7:
        c = text[at]
        kinds = ("0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        same = next(kind for kind in kinds if c in kind)
        leads = (at == 0 or not text[at - 1].isdigit()) and text[at + 1 : at + 2].isdigit()
        new = rng.choice([x for x in same if x != c and not (leads and x == "0")])
        return text[:at] + new + text[at + 1 :]
    if kind < 0.9 and len(places) > 1:
        a, b = sorted((at, rng.choice([i for i in places if i != at])))
        return text[:a] + text[b] + text[a + 1 : b] + text[a] + text[b + 1 :]
    return text[:at] + text[at + 1 :] if len(places) > 1 else text
