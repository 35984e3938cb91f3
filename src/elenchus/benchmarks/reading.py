"""What a reply says: an answer, graded; or a verdict and the place of the first error. Read strictly, never guessed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from elenchus import answers, benchmarks, problems
from elenchus.critics import format as critiques
from elenchus.metrics.published import criticbench, processbench
from elenchus.problems import Problem

CODE = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)


@dataclass(frozen=True)
class Answer:
    """What a solver's reply says. parsed: an answer could be read. first_error: 0-based, -1 none, None not known."""

    answer: str
    steps: tuple[str, ...]
    parsed: bool
    correct: bool
    first_error: int | None = None


@dataclass(frozen=True)
class Verdict:
    """What a critic's reply says. right: of the whole solution, None unread. first_error: 0-based, -1 none, None unread."""

    right: bool | None
    first_error: int | None = None

    @property
    def parsed(self) -> bool:
        """Return whether a verdict could be read."""
        return self.right is not None


def answer(reader: str, problem: Problem, text: str) -> Answer:
    """Return what a reply answers, graded by the benchmark's own checker (programs run in the sandbox)."""
    if reader == "family":
        family = problems.load(problem.family)
        said = family.parse(problem, text)
        first = problems.first_error(family.check_steps(problem, list(said.steps))) if said.ok else None
        right = said.ok and family.check_answer(problem, said.answer)
        return Answer(said.answer, said.steps, said.ok, bool(right), first)
    steps = tuple(s for s in re.split(r"\n\s*\n", text.strip()) if s.strip())
    if reader == "code":
        blocks = CODE.findall(text)
        found = (blocks[-1] if blocks else text).rstrip()
    else:
        found = answers.final(text, last_number=answers.kind_of(problem.answer) == "number")
    return Answer(found or "", steps, bool(found), bool(found) and benchmarks.check(problem, found))


def key(reader: str, said: str) -> str:
    """Return an answer as a vote counts it: equal numbers are one candidate, however they are written."""
    if reader == "code":
        return said
    number = answers.values.read(said)
    return f"{number.value}{'%' * number.percent}" if number is not None else answers.forms.plain(said)


def verdict(reader: str, problem: Problem, steps: tuple[str, ...], text: str) -> Verdict:
    """Return what a critique says of a solution with these steps."""
    if reader == "family":
        said = critiques.parse(text, len(steps), problems.load(problem.family).error_types())
        return Verdict(said.verdict == critiques.RIGHT, said.first_error) if said.parsed else Verdict(None)
    if reader == "boxed_index":
        index = processbench.index(processbench.boxed_string(text))
        return Verdict(None) if index is None else Verdict(index == -1, index)
    if reader == "judgment":
        return Verdict(criticbench.verdict_luo(text))
    return Verdict(criticbench.verdict_lin(text))


def scored(scores: list[float], threshold: float = 0.5) -> Verdict:
    """Return what step scores say: the first below `threshold` is the first error (ProcessBench's rule)."""
    if not scores:
        return Verdict(None)
    first = processbench.first_below(scores, threshold)
    return Verdict(first == -1, first)
