"""Countdown: reach a target from given numbers, each used at most once, by + - * / (Stream of Search's task).

    question   make 22 from 3 5 7
    solution   #1 3 * 5 = 15 #2 15 + 7 = 22 answer 22

Not all numbers have to be used. Arithmetic is exact (fractions); every number that is written is a whole one from 0 to
`max_value`, one word each, so a step whose exact result is anything else is an error. A well-formed solution ends on a
step that claims the target; so a well-formed solution with a wrong answer has a wrong step. A solution's `answer` is
the expression that its steps spell out, which is what the answer checker evaluates.
"""

from __future__ import annotations

import ast
import hashlib
import itertools
import operator
import random
from collections import Counter
from fractions import Fraction
from functools import lru_cache

from pydantic import BaseModel, ConfigDict, Field, model_validator

from elenchus import seeds
from elenchus.critics.format import BAD, GIVES, GOOD, NONE, WORDS
from elenchus.problems import Check, Drill, Problem, Solution

OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": Fraction}
ERRORS = ("result", "unavailable", "range", "format")

# One number on the table: what the steps claim it to be, and what it is (None: made of numbers that were not given).
Entry = tuple[int, int | Fraction | None]


class Options(BaseModel):
    """The difficulty of generated countdowns."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_numbers: int = Field(3, ge=2, le=5, description="fewest given numbers")
    max_numbers: int = Field(4, ge=2, le=5, description="most given numbers")
    min_steps: int = Field(2, ge=1, le=4, description="fewest steps of a shortest solution")
    max_number: int = Field(12, ge=2, le=99, description="given numbers are drawn from 1 to this")
    max_value: int = Field(60, ge=4, le=999, description="largest target and largest result of a step")

    @model_validator(mode="after")
    def _ordered(self) -> Options:
        if self.min_numbers > self.max_numbers:
            raise ValueError(f"min_numbers {self.min_numbers} is above max_numbers {self.max_numbers}")
        if self.min_steps >= self.min_numbers:
            raise ValueError(f"min_steps {self.min_steps} needs more than min_numbers {self.min_numbers} given numbers")
        if self.max_number > self.max_value:
            raise ValueError(f"max_number {self.max_number} is above max_value {self.max_value}")
        return self


def generate(options: Options, rng: random.Random) -> Problem:
    """Return one solvable countdown: numbers drawn uniformly, the target where a random walk over them ends."""
    while True:
        size = rng.randint(options.min_numbers, options.max_numbers)
        numbers = [rng.randint(1, options.max_number) for _ in range(size)]
        table, target = list(numbers), 0
        for _ in range(rng.randint(options.min_steps, size - 1)):
            a, b = rng.sample(range(len(table)), 2)
            result = _value(table[a], rng.choice(list(OPERATORS)), table[b], options.max_value)
            if result is None:
                break
            table = [x for i, x in enumerate(table) if i not in (a, b)] + [result]
            target = result
        if target > 0 and target not in numbers:
            problem = build(numbers, target, options.max_value)
            if problem.meta["difficulty"] >= options.min_steps:
                return problem


def build(numbers: list[int], target: int, max_value: int) -> Problem:
    """Return the problem of reaching `target` from `numbers`; ValueError where there is no way."""
    prompt = f"make {target} from {' '.join(map(str, numbers))}"
    digest = hashlib.sha256(f"countdown {max_value} {prompt}".encode()).hexdigest()
    meta = {"numbers": list(numbers), "target": target, "max_value": max_value}
    problem = Problem(f"countdown-{digest[:12]}", "countdown", prompt, "", meta)
    fewest = distance(problem, [])
    if fewest is None:
        raise ValueError(f"{prompt}: no way to do that with whole numbers from 0 to {max_value}")
    meta["difficulty"] = fewest
    return problem


def reference(problem: Problem) -> list[str]:
    """Return the steps of a shortest exact solution: any of them, in any order of operands, but always the same one.

    Which one is drawn by the problem's id: a model that learns from references learns that there are many ways.
    """
    table = _sorted([(x, x) for x in problem.meta["numbers"]])
    target, limit, rng = problem.meta["target"], problem.meta["max_value"], seeds.rng("reference", problem.id)
    steps = []
    for left in range(_fewest(table, target, limit), 0, -1):
        moves = _moves(table, limit)
        rng.shuffle(moves)
        step, _, table = next(move for move in moves if _fewest_by(move, target, limit) == left)
        a, op, b, _, result = step.split()
        steps.append(f"{b} {op} {a} = {result}" if op in "+*" and rng.random() < 0.5 else step)
    return steps


def render(problem: Problem, steps: list[str]) -> str:
    """Return the text of a solution with these steps; its answer is the last result."""
    body = " ".join(f"#{i + 1} {step}" for i, step in enumerate(steps))
    return f"{body} answer {steps[-1].split()[-1]}"


def parse(problem: Problem, text: str) -> Solution:
    """Return the steps of `text`, and as answer the expression that they spell out.

    Not ok unless the text is `render` of 1 to (given numbers - 1) readable steps, the last of which claims the target.
    """
    words, steps = text.split(), []
    while words[6 * len(steps) : 6 * len(steps) + 1] == [f"#{len(steps) + 1}"]:
        step = " ".join(words[6 * len(steps) + 1 : 6 * len(steps) + 6])
        if _read(problem, step) is None:
            break
        steps.append(step)
    ok = 1 <= len(steps) < len(problem.meta["numbers"]) and " ".join(words) == render(problem, steps)
    ok = ok and words[-1] == str(problem.meta["target"])
    return Solution(tuple(steps), _expression(problem, steps) if ok else "", ok)


def check_answer(problem: Problem, answer: str) -> bool:
    """Return whether `answer`, an expression like "((3 * 5) + 7)", makes the target of the given numbers."""
    try:
        value, used = _evaluate(ast.parse(answer, mode="eval").body)
    except (SyntaxError, ValueError):
        return False
    return value == problem.meta["target"] and not used - Counter(problem.meta["numbers"])


def check_steps(problem: Problem, steps: list[str]) -> list[Check]:
    """Return the verdict on each step, judged from the numbers that are on the table once those before it are done.

    Errors: `unavailable` (an operand is not on the table), `range` (the exact result is no whole number from 0 to
    max_value, or there is none), `result`; `format` for a step that cannot be read. A wrong step too takes its operands
    off the table and puts down the result that it claims.
    """
    table, limit, checks = Counter(problem.meta["numbers"]), problem.meta["max_value"], []
    for step in steps:
        read = _read(problem, step)
        if read is None:
            checks.append(Check(False, "format", NONE, NONE, NONE))
            continue
        a, op, b, claimed = read
        expected = _value(a, op, b, limit)
        error = ""
        if Counter([a, b]) - table:
            error = "unavailable"
        elif expected is None:
            error = "range"
        elif claimed != expected:
            error = "result"
        said = NONE if expected is None else str(expected)
        checks.append(Check(not error, error, f"{a} {op} {b}", said, str(claimed)))
        table = table - Counter([a, b]) + Counter([claimed])
    return checks


def corrupt(problem: Problem, rng: random.Random, rate: float) -> list[str]:
    """Return the reference with each step wrong with probability `rate`; later steps use what wrong ones claim.

    Errors are wrong results (six in ten), operands that are not there, and results out of range. The last step claims
    the target whatever came before, as a well-formed solution must; to be wrong, it operates on the wrong numbers.
    """
    target, limit = problem.meta["target"], problem.meta["max_value"]
    table, plan, steps = Counter(problem.meta["numbers"]), [_read(problem, s) for s in reference(problem)], []
    drift: dict[int, list[int]] = {}  # exact intermediate result -> what was claimed instead
    for i, (a, op, b, exact) in enumerate(plan):
        a, b = (drift[x].pop() if drift.get(x) else x for x in (a, b))
        last = i == len(plan) - 1
        kind = rng.choices(("result", "unavailable", "range"), (60, 20, 20))[0] if rng.random() < rate else ""
        if kind == "unavailable":
            a, b = rng.choice([(_other(table, limit, rng), b), (a, _other(table, limit, rng))])
        elif kind == "range" or (kind == "result" and last):
            wanted = (lambda value: value is None) if kind == "range" else (lambda value: value not in (None, target))
            pairs = [pair for pair in _operations(table) if wanted(_value(*pair, limit))]
            a, op, b = rng.choice(pairs) if pairs else (a, op, b)
        result = _value(a, op, b, limit)
        if last:
            result = target
        elif kind == "result" or result is None:
            result = _other((result,), limit, rng)
        drift.setdefault(exact, []).append(result)
        steps.append(f"{a} {op} {b} = {result}")
        table = table - Counter([a, b]) + Counter([result])
    return steps


def error_types() -> tuple[str, ...]:
    """Return the names that Check.error can take."""
    return ERRORS


def distance(problem: Problem, steps: list[str]) -> int | None:
    """Return how many right steps lead from `steps` to a right answer at least; None where no way is left.

    Errors that cancel count as what the answer checker makes of them: an answer is right if its expression is.
    """
    if len(steps) >= len(problem.meta["numbers"]) or any(_read(problem, step) is None for step in steps):
        return None
    table: list[Entry] = [(x, x) for x in problem.meta["numbers"]]
    for step in steps:
        a, op, b, claimed = _read(problem, step)
        table.append((claimed, _exact(_take(table, a), op, _take(table, b))))
    target = problem.meta["target"]
    if steps and table[-1] == (target, target):
        return 0
    return _fewest(_sorted(table), target, problem.meta["max_value"])


def vocabulary(options: Options) -> list[str]:
    """Return the words of prompts, solutions and critiques."""
    marks = [f"#{i + 1}" for i in range(options.max_numbers - 1)]
    numbers = map(str, range(options.max_value + 1))
    return [*numbers, *OPERATORS, "=", "make", "from", "answer", *marks, *WORDS, *ERRORS]


def drills(options: Options, rng: random.Random) -> Drill:
    """Return eight single facts (`#1 3 * 5 = 15`) and single comparisons (`#1 3 * 5 -> 15 9 bad result`), mixed."""
    words: list[str] = []
    known: list[bool] = []
    while len(known) < 8 * 6:
        a, b = rng.randint(0, options.max_value), rng.randint(0, options.max_number)
        op = rng.choice(list(OPERATORS))
        if op == "/" and b:
            a = b * rng.randint(0, options.max_value // b)
        result = _value(a, op, b, options.max_value)
        if result is None:
            continue
        unit = [f"#{rng.randint(1, options.max_numbers - 1)}", str(a), op, str(b)]
        if rng.random() < 0.5:
            unit += ["=", str(result)]
            predictable = [False] * 5 + [True]
        else:
            same = rng.random() < 0.5
            claimed = result if same else _other((result,), options.max_value, rng)
            unit += [GIVES, str(result), str(claimed), *([GOOD] if same else [BAD, "result"])]
            predictable = [False] * 5 + [True, False] + [True] * (len(unit) - 7)
        words += unit
        known += predictable
    return Drill("", " ".join(words), tuple(known))


def _read(problem: Problem, step: str) -> tuple[int, str, int, int] | None:
    """Return (first operand, operator, second operand, result) of a step's text, None where it does not say so."""
    words = step.split(" ")
    if len(words) != 5 or words[1] not in OPERATORS or words[3] != "=":
        return None
    numbers = [int(word) if word.isascii() and word.isdigit() else -1 for word in (words[0], words[2], words[4])]
    canonical = [str(number) for number in numbers] == [words[0], words[2], words[4]]
    if not canonical or not all(0 <= number <= problem.meta["max_value"] for number in numbers):
        return None
    return numbers[0], words[1], numbers[1], numbers[2]


def _exact(a: int | Fraction | None, op: str, b: int | Fraction | None) -> int | Fraction | None:
    """Return the exact result of an operation, None where it or an operand is undefined."""
    if a is None or b is None or (op == "/" and b == 0):
        return None
    return OPERATORS[op](a, b)


def _value(a: int, op: str, b: int, limit: int) -> int | None:
    """Return the result of an operation where it is a whole number from 0 to `limit`, else None."""
    exact = _exact(a, op, b)
    return int(exact) if exact is not None and exact.denominator == 1 and 0 <= exact <= limit else None


def _operations(table: Counter) -> list[tuple[int, str, int]]:
    """Return all operations on two of the numbers on the table, in a fixed order."""
    pairs = sorted(set(itertools.permutations(sorted(table.elements()), 2)))
    return [(a, op, b) for a, b in pairs for op in OPERATORS]


def _take(table: list[Entry], value: int) -> Fraction | None:
    """Take the newest entry that claims `value` off the table and return what it is; None where there is none."""
    for i in reversed(range(len(table))):
        if table[i][0] == value:
            return table.pop(i)[1]
    return None


def _sorted(table: list[Entry]) -> tuple[Entry, ...]:
    """Return the table in an order that does not depend on how it came about."""
    return tuple(sorted(table, key=lambda entry: (entry[0], entry[1] is None, entry[1] or 0)))


def _moves(table: tuple[Entry, ...], limit: int) -> list[tuple[str, Entry, tuple[Entry, ...]]]:
    """Return the right steps (sums and products in one order) from `table`: text, what it puts down, table after."""
    moves = {}
    for i, j in itertools.permutations(range(len(table)), 2):
        (a, true_a), (b, true_b) = table[i], table[j]
        for op in OPERATORS if i < j else "-/":
            result = _value(a, op, b, limit)
            if result is not None:
                entry = (result, _exact(true_a, op, true_b))
                moves.setdefault((a, op, b, entry), (i, j))
    return [
        (f"{a} {op} {b} = {entry[0]}", entry, _sorted([*(x for k, x in enumerate(table) if k not in taken), entry]))
        for (a, op, b, entry), taken in moves.items()
    ]


@lru_cache(maxsize=200_000)
def _fewest(table: tuple[Entry, ...], target: int, limit: int) -> int | None:
    """Return the fewest right steps from `table`, the last of which makes the target; None where there are none."""
    if len(table) < 2:
        return None
    moves = _moves(table, limit)
    if any(entry == (target, target) for _, entry, _ in moves):
        return 1
    best = None
    for _, _, after in moves:
        more = _fewest(after, target, limit)
        if more == 1:
            return 2
        if more is not None and (best is None or more + 1 < best):
            best = more + 1
    return best


def _fewest_by(move: tuple[str, Entry, tuple[Entry, ...]], target: int, limit: int) -> int | None:
    """Return the fewest right steps of a way that begins with `move`, None where there is no such way."""
    _, entry, table = move
    if entry == (target, target):
        return 1
    after = _fewest(table, target, limit)
    return None if after is None else 1 + after


def _expression(problem: Problem, steps: list[str]) -> str:
    """Return the expression that the steps spell out, with numbers that are not on the table as themselves."""
    table = [(x, str(x)) for x in problem.meta["numbers"]]
    for step in steps:
        a, op, b, claimed = _read(problem, step)
        left, right = (_take(table, x) or str(x) for x in (a, b))
        table.append((claimed, f"({left} {op} {right})"))
    return table[-1][1]


def _evaluate(node: ast.expr) -> tuple[int | Fraction, Counter]:
    """Return the exact value of an expression and the numbers that it uses; ValueError for anything but arithmetic."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value, Counter([node.value])
    signs = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
    if not isinstance(node, ast.BinOp) or type(node.op) not in signs:
        raise ValueError("not an expression of whole numbers with + - * /")
    (a, used_a), (b, used_b) = _evaluate(node.left), _evaluate(node.right)
    value = _exact(a, signs[type(node.op)], b)
    if value is None:
        raise ValueError("division by zero")
    return value, used_a + used_b


def _other(values, limit: int, rng: random.Random) -> int:
    """Return a number from 0 to `limit` that is not among `values`; half the time near the first of them."""
    choices = [x for x in range(limit + 1) if x not in values]
    first = next(iter(values), None)
    near = [x for x in choices if first is not None and abs(x - first) <= 3]
    return rng.choice(near if near and rng.random() < 0.5 else choices)
