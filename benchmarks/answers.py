"""Grading speed: 100,000 short answers, most of them numbers, choices and yes or no, a tenth of them TeX, on two cores.
Goal: under 60 s, the start of the two processes that compare TeX included.

    python benchmarks/answers.py [answers]
"""

from __future__ import annotations

import multiprocessing
import os
import random
import sys
import time

from elenchus import answers


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


def work(task: tuple[int, int]) -> int:
    """Return how many of a worker's answers are right."""
    return sum(answers.grade_many(pairs(*task)))


def main() -> None:
    """Measure, and print the seconds and the answers a second."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    began, before = time.monotonic(), os.times()
    with multiprocessing.Pool(2) as pool:
        right = sum(pool.map(work, [(n // 2, 1), (n - n // 2, 2)]))
    wall = time.monotonic() - began
    after = os.times()
    cpu = sum(after[2:4]) - sum(before[2:4])
    print(
        f"{n} answers, {right} right: {wall:.1f} s on the clock, {cpu:.1f} s of processors (workers'), {n / wall:.0f} a second"
    )
    print(f"goal: under 60 s for 100000; {'met' if wall * 100_000 / n < 60 else 'missed'}")


if __name__ == "__main__":
    main()
