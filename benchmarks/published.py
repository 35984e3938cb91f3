"""ProcessBench's metrics over as many items as the set has (3,400, votes of eight, and the threshold rule): processor time.

python benchmarks/published.py
"""

from __future__ import annotations

import random
import time

from elenchus.metrics.published import processbench

SIZES = {"gsm8k": 400, "math": 1000, "olympiadbench": 1000, "omnimath": 1000}


def main() -> None:
    rng = random.Random(0)
    labels = {k: [rng.randint(-1, 8) for _ in range(n)] for k, n in SIZES.items()}
    text = "so " * 300
    replies = {
        k: [[f"{text}\\boxed{{{rng.randint(-1, 8)}}}" for _ in range(8)] for _ in range(n)] for k, n in SIZES.items()
    }
    scores = {k: [[rng.random() for _ in range(10)] for _ in range(n)] for k, n in SIZES.items()}
    began = time.process_time()
    processbench.report(labels, {k: [processbench.vote(r) for r in replies[k]] for k in SIZES})
    threshold, _ = processbench.best_threshold(labels["gsm8k"], scores["gsm8k"])
    processbench.report(labels, {k: [processbench.first_below(s, threshold) for s in scores[k]] for k in SIZES})
    print(f"{sum(SIZES.values())} items: {time.process_time() - began:.2f} s of a processor (goal: below 2)")


if __name__ == "__main__":
    main()
