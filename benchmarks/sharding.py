"""Peak memory when the data is twenty times as large, of shards, of the jobs that join them, and of stages that move tables.

python benchmarks/sharding.py [--problems 200] [--times 20] [--tables]

A slice is of 32,768 rows (`elenchus.slices`), so a stage that moves tables needs more for the first hundred thousand rows than
for two hundred, and no more for two million: `--problems 1000 --times 8 --tables` begins with a whole slice.
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


def stages(problems: int) -> tuple[list, dict, dict]:
    """Return, on so many problems: what is made first, the stages that are measured in shards, those measured whole."""
    asked = make("problems", {"options": OPTIONS, "split": "test", "n": problems}, seed=0)
    spoilt = make("inject", {"n": 32, "clean": 0.5, "most": 2}, seed=0, problems=asked)
    given = {"solutions": spoilt, "problems": asked}
    oracle = make("critique", {"source": "oracle", "miss_rate": 0.2}, seed=0, **given)
    other = make("critique", {"source": "oracle", "miss_rate": 0.5, "critic": "other"}, seed=0, **given)
    merged = make("aggregate", {}, seed=0, critiques=[oracle, other], **given)
    scores = make("score", {"flip": 0.1}, seed=0, **given)
    pairs = make("pairs", {"rule": "jaccard"}, seed=0, critiques=[oracle, other], **given)
    settings = {"simulations": 2, "breadth": 2, "leaves_per_round": 1, "solution_tokens": 24}
    shared = {
        "sample": make("sample", SAMPLED, seed=0, actor=ACTOR, problems=asked),
        "critique": oracle,
        "search": make("search", settings, seed=0, actor=ACTOR, problems=asked),
    }
    whole = {
        "inject": spoilt,
        "aggregate": merged,
        "score": scores,
        "pairs": pairs,
        "label": make("label", {"source": "checker"}, seed=0, **given),
        "examples of pairs": make("examples", {}, seed=0, pairs=pairs, problems=asked),
        "examples of critiques": make("examples", {"keep": "verdict"}, seed=0, critiques=oracle, **given),
        "cases": make("cases", {"limit": 1000}, seed=0, **given),
        "select": make("select", {"threshold": -0.5}, seed=0, scores=scores, **given),
        "answer": make("answer", {}, seed=0, scores=scores, **given),
        "evaluate a policy": make("evaluate", {"which": "policy"}, seed=0, scores=scores, **given),
        "evaluate a critic": make("evaluate", {"which": "critic"}, seed=0, critiques=oracle, **given),
        "evaluate a vote": make("evaluate", {"which": "vote"}, seed=0, critiques=oracle, **given),
        "evaluate pairs": make("evaluate", {"which": "pairs"}, seed=0, pairs=pairs, **given),
    }
    return [asked, other], shared, whole


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


def measure(problems: int, shards: int, results: Path, sampling: bool) -> dict[str, float]:
    """Return {job: its peak memory in MB}; of shards the largest. sampling: those of a model, too."""
    first, shared, whole = stages(problems)
    if not sampling:
        del shared["sample"], shared["search"]
    found = {}
    for name, s in {"actor": ACTOR, "problems": first[0], "inject": whole["inject"], "critique": first[1]}.items():
        found[name] = peak(s.spec(), results)
    del found["actor"], found["critique"]  # an untrained model; critiques in one shard
    for name, s in shared.items():
        found[f"{name}, a shard"] = max(peak({**s.spec(), "shard": [i, shards]}, results) for i in range(shards))
        found[f"{name}, joining"] = peak({**s.spec(), "joins": True}, results)
    return found | {name: peak(s.spec(), results) for name, s in whole.items() if name != "inject"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--tables", action="store_true", help="without stages that sample, which take most of the time")
    parser.add_argument("--job", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.job:
        return job(json.loads(asked.job[0]), Path(asked.job[1]))
    with tempfile.TemporaryDirectory() as folder:
        small = measure(asked.problems, 1, Path(folder, "small"), not asked.tables)
        large = measure(asked.problems * asked.times, asked.times, Path(folder, "large"), not asked.tables)
    print(f"{asked.problems} problems in 1 shard, {asked.problems * asked.times} in {asked.times}: peak memory in MB")
    for name, before in small.items():
        print(f"  {name:24} {before:7.0f} -> {large[name]:7.0f}  x {large[name] / before:.2f}")


if __name__ == "__main__":
    main()
