"""Grading speed: 100,000 short answers, most of them numbers, choices and yes or no, a tenth of them TeX, on two cores.
Goal: under 60 s, the start of the two processes that compare TeX included.

    python benchmarks/answers.py [answers]
"""

from __future__ import annotations

import multiprocessing
import random
import sys
import time

from elenchus import answers
from elenchus.answers import symbolic


def pairs(n: int, seed: int) -> list[tuple[str, str]]:
    """Return (given, gold) as an evaluation has them: right ones in other words, wrong ones nearby."""
    rng, made = random.Random(seed), []
    for _ in range(n):
        x, right = rng.randint(1, 99_999), rng.random() < 0.6
        y = x if right else x + rng.choice((-10, -1, 1, 10))
        kind = rng.random()
        if kind < 0.5:
            made.append((rng.choice((f"${y:,}", f"{y}.0", f"{y} dollars", str(y))), str(x)))
        elif kind < 0.7:
            letter = rng.choice("ABCD")
            made.append((rng.choice((f"({letter})", f"{letter}) so it is", letter)), "B"))
        elif kind < 0.8:
            made.append((rng.choice(("Yes.", "no", "True", "It depends")), "yes"))
        elif kind < 0.9:
            made.append((rf"\frac{{{y}}}{{7}}", f"{x}/7"))
        else:  # a few hundred expressions again and again, as many samples of one problem have them
            k, j = rng.randint(2, 20), rng.randint(2, 8)
            made.append((rf"\frac{{{k}\sqrt{{{j}}}}}{{{j}}}", rf"\frac{{{k if right else k + 1}}}{{\sqrt{{{j}}}}}"))
    return made


def work(task: tuple[int, int]) -> tuple[int, float]:
    """Return how many of a worker's answers are right, and the processor time that grading took, both processes' together."""
    asked, began = pairs(*task), time.process_time()
    right = sum(answers.grade_many(asked))
    return right, time.process_time() - began + symbolic.spent()


def main() -> None:
    """Measure, and print seconds on the clock and of processors: the clock's depend on what else the machine does."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    began = time.monotonic()
    with multiprocessing.Pool(2) as pool:
        done = pool.map(work, [(n // 2, 1), (n - n // 2, 2)])
    wall, cpu = time.monotonic() - began, sum(seconds for _, seconds in done)
    print(f"{n} answers, {sum(right for right, _ in done)} right: {wall:.1f} s on the clock, {cpu:.1f} s of processors")
    print(f"on two idle cores about {cpu / 2 * 100_000 / n:.0f} s for 100000 (goal: under 60)")


if __name__ == "__main__":
    main()
