"""Peak memory of a shard, and of the job that joins, when the data is twenty times as large: ratios within one run.

python benchmarks/sharding.py [--problems 200] [--times 20]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from elenchus import run_stage
from elenchus.graph import make
from elenchus.job import file_entries
from elenchus.problems import chain

OPTIONS = {"modulus": 11, "min_length": 3, "max_length": 6}
ACTOR = make("seed_model", {"options": OPTIONS}, seed=0)
SAMPLED = {"n": 32, "max_tokens": 40}


def stages(problems: int) -> dict:
    """Return the stages that share work, on so many problems."""
    asked = make("problems", {"options": OPTIONS, "split": "test", "n": problems}, seed=0)
    sample = make("sample", SAMPLED, seed=0, actor=ACTOR, problems=asked)
    given = {"solutions": make("inject", {"n": 32}, seed=0, problems=asked), "problems": asked}
    oracle = make("critique", {"source": "oracle", "miss_rate": 0.2}, seed=0, **given)
    settings = {"simulations": 2, "breadth": 2, "leaves_per_round": 1, "solution_tokens": 24}
    search = make("search", settings, seed=0, actor=ACTOR, problems=asked)
    return {
        "before": [asked, given["solutions"]],
        "sample": sample,
        "critique": oracle,
        "search": search,
        "evaluate (reads whole)": make("evaluate", {"which": "policy"}, seed=0, solutions=sample, problems=asked),
    }


def job(spec: dict, results: Path) -> None:
    """Run a job in this process, and print its peak memory in MB; the model is made here, untrained, not trained."""
    folder = results / "seed_model" / ACTOR.digest
    if spec["digest"] == ACTOR.digest:
        from elenchus import models

        tokenizer = models.new_tokenizer(chain.vocabulary(chain.Options(**OPTIONS)))
        network = models.new_model(len(tokenizer), width=64, layers=2, heads=4, context=256, seed=0)
        models.save(network, tokenizer, folder / "model")
        (folder / "stage.json").write_text(json.dumps({**ACTOR.spec(), "files": file_entries(folder)}))
    else:
        run_stage.run(spec, results)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def peak(spec: dict, results: Path) -> float:
    """Return the peak memory, in MB, of a process of its own that runs a job. This one stays small: a child's begins there."""
    call = [sys.executable, __file__, "--job", json.dumps(spec), str(results)]
    return float(subprocess.run(call, stdout=subprocess.PIPE, text=True, check=True).stdout.split()[-1])


def measure(problems: int, shards: int, results: Path) -> dict[str, tuple[float, float]]:
    """Return {kind: (largest shard's peak, joining job's peak)}, MB."""
    todo, found = stages(problems), {}
    for s in (ACTOR, *todo.pop("before")):
        peak(s.spec(), results)
    for name, s in todo.items():
        if name.startswith("evaluate"):
            found[name] = (0.0, peak(s.spec(), results))
        else:
            largest = max(peak({**s.spec(), "shard": [i, shards]}, results) for i in range(shards))
            found[name] = (largest, peak({**s.spec(), "joins": True}, results))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--job", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.job:
        return job(json.loads(asked.job[0]), Path(asked.job[1]))
    with tempfile.TemporaryDirectory() as folder:
        small = measure(asked.problems, 1, Path(folder, "small"))
        large = measure(asked.problems * asked.times, asked.times, Path(folder, "large"))
    print(f"{asked.problems} problems in 1 shard, {asked.problems * asked.times} in {asked.times}: peak memory in MB")
    for name in small:
        for what, k in (("a shard", 0), ("joining", 1)):
            if small[name][k]:
                what = what if not name.startswith("evaluate") else "whole"
                print(
                    f"  {name:24} {what:8} {small[name][k]:7.0f} -> {large[name][k]:7.0f}  x {large[name][k] / small[name][k]:.2f}"
                )


if __name__ == "__main__":
    main()
