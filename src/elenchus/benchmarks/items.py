"""What a loader yields: problems, and the solutions and critiques that were published for them, with their labels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from elenchus.problems import Problem


@dataclass(frozen=True)
class PublishedCritique:
    """A critique of a published solution, with what judges said of it.

    first_error: 0-based, -1 none, None where it says nothing of steps. labels: what the format has besides.
    """

    author: str
    text: str
    first_error: int | None = None
    labels: dict = field(default_factory=dict)


@dataclass(frozen=True)
class PublishedSolution:
    """A solution that came with a data set.

    author: the model or person who wrote it, "" unknown. correct: the outcome label, None where there is none.
    first_error: the label of the earliest wrong step, 0-based, -1 none, None where nobody labelled steps.
    ratings: a label for each step, in [-1, 1] or NaN, () where there is none.
    """

    author: str
    text: str
    steps: tuple[str, ...] = ()
    answer: str = ""
    correct: bool | None = None
    first_error: int | None = None
    ratings: tuple[float, ...] = ()
    critiques: tuple[PublishedCritique, ...] = ()


@dataclass(frozen=True)
class Item:
    """One record of a data set: its problem, and published solutions of it. key: the record's own id, "" for none."""

    problem: Problem
    key: str = ""
    solutions: tuple[PublishedSolution, ...] = ()


def problem(name: str, place: str, prompt: str, answer: str, **meta) -> Problem:
    """Return the Problem of a record; its id is a digest of the set's name, the record's place and its prompt.

    place: split and published id (or row number), since some sets hold one question several times.
    """
    digest = hashlib.sha256(f"{name}\x1f{place}\x1f{prompt}".encode()).hexdigest()
    return Problem(f"{name}-{digest[:12]}", name, prompt, answer, meta)
