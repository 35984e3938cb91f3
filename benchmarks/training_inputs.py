"""Peak memory of each kind of training, and the time before its first step, on twenty times the data: a few steps of each.

python benchmarks/training_inputs.py [--rows 4000] [--times 20] [--kinds sft,dpo]
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from elenchus import conversation, models, run_stage, stages, tables
from elenchus.critics import format as critique_format
from elenchus.job import file_entries
from elenchus.problems import chain

OPTIONS = chain.Options(modulus=11, min_length=3, max_length=6)
STEPS = {"steps": 3, "batch": 16, "micro_batch": 8}
REWARDED = {**STEPS, "num_generations": 4, "terms": {"format": 1.0}, "max_tokens": 24}
# What each kind takes: parameters, and the tables that are its inputs (a list: an input that is many).
TRAININGS = {
    "sft": (STEPS, {"examples": ["examples"]}),
    "sft_turns": (STEPS, {"examples": ["examples"]}),
    "dpo": (STEPS, {"pairs": "pairs"}),
    "step_dpo": (STEPS, {"pairs": "step_pairs"}),
    "grpo": (REWARDED, {"solutions": "solutions", "problems": "problems"}),
    "process_head": (STEPS, {"labels": "labels", "problems": "problems"}),
    "offline_rl": (STEPS, {"moves": ["moves"], "examples": ["examples"]}),
}
# Columns whose values no training reads.
REST = {"str": "", "int": 0, "float": 0.0, "bool": True, "list[str]": [], "list[int]": [], "list[float]": []}


def rows(n: int) -> Iterator[dict[str, dict]]:
    """Yield n times a row of every table that trainings read; every second solution has an error."""
    rng = random.Random(0)
    for i in range(n):
        problem = chain.generate(OPTIONS, rng)
        steps = chain.reference(problem) if i % 2 else chain.corrupt(problem, rng, 0.5)
        wrong = [not c.ok for c in chain.check_steps(problem, steps)]
        about = {
            "problem_id": f"{problem.id}-{i}",
            "family": "chain",
            "prompt": problem.prompt,
            "answer": problem.answer,
        }
        text, truth = chain.render(problem, steps), critique_format.from_checks(chain.check_steps(problem, steps))
        asked = {"prompt": json.dumps(conversation.solve(problem.prompt)), "reply": "assistant"}
        judged = {"prompt": json.dumps(conversation.critique(problem.prompt, text)), "reply": "critic"}
        sides = {"chosen": critique_format.render(truth), "rejected": "#1 good right"}
        solution = {
            "text": text,
            "steps": steps,
            "correct": not any(wrong),
            "first_error": wrong.index(True) if any(wrong) else -1,
        }
        own = {
            "problems": {**about, "split": "train", "meta": json.dumps(problem.meta)},
            "solutions": {**solution, "solution_id": f"s{i}", "family": "chain"},
            "labels": {"steps": steps, "labels": [float(not x) for x in wrong]},
            "examples": {**asked, "completion": text},
            "pairs": {**judged, **sides},
            "step_pairs": {**asked, "chosen": text, "rejected": "#1 1 + 1 = 3"},
            "moves": {**judged, "completion": sides["chosen"], "player": "critic", "reward": 1.0 - 2 * (i % 2)},
        }
        yield {name: {"problem_id": about["problem_id"], **row} for name, row in own.items()}


def make(n: int, results: Path) -> None:
    """Write a model and every table as results; the memory that this takes is not measured."""
    tokenizer = models.new_tokenizer(chain.vocabulary(OPTIONS))
    network = models.new_model(len(tokenizer), width=64, layers=2, heads=4, context=256, seed=0)
    models.save(network, tokenizer, results / "made" / "model" / "model")
    made = list(rows(n))
    for name in made[0]:
        empty = {column: REST.get(kind.rstrip("?")) for column, kind in tables.SCHEMAS[name].items()}
        folder = results / "made" / name
        folder.mkdir(parents=True)
        tables.write(name, [{**empty, **row[name]} for row in made], folder / f"{name}.parquet")
    for folder in (results / "made").iterdir():
        (folder / "stage.json").write_text(json.dumps({"files": file_entries(folder)}))


def train(kind: str, results: Path) -> None:
    """Run a training in this process; print its peak memory in MB and the seconds before its first step."""
    params, given = TRAININGS[kind]
    inputs = {
        name: [f"results/made/{t}" for t in table] if isinstance(table, list) else f"results/made/{table}"
        for name, table in given.items()
    }
    inputs["critic" if kind == "grpo" else "model"] = "results/made/model"
    spec = {"kind": kind, "digest": "0", "params": params, "rng_seed": 1, "inputs": inputs}
    out = results / "out" / kind
    out.mkdir(parents=True)
    job = run_stage.job_of(spec, results, out)
    marks = [time.monotonic()]
    job.progress = lambda *_: marks.append(time.monotonic())
    stages.load(kind).run(job)
    first = marks[1] - marks[0] - (marks[-1] - marks[1]) / (len(marks) - 2)  # less a step
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, first)


def in_a_process(*call: object) -> list[float]:
    """Return the numbers that a process of its own prints last. This one stays small: a child's peak begins there."""
    done = subprocess.run([sys.executable, __file__, *map(str, call)], stdout=subprocess.PIPE, text=True, check=True)
    return [float(x) for x in done.stdout.split()[-2:]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--kinds", default=",".join(TRAININGS))
    parser.add_argument("--job", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.job:
        what, results = asked.job[0], Path(asked.job[1])
        return make(int(what), results) if what.isdigit() else train(what, results)
    print(f"{asked.rows} rows, {asked.rows * asked.times} rows: peak memory in MB, seconds before the first step")
    with tempfile.TemporaryDirectory() as folder:
        sizes = {n: Path(folder, str(n)) for n in (asked.rows, asked.rows * asked.times)}
        for n, results in sizes.items():
            in_a_process("--job", n, results)
        for kind in asked.kinds.split(","):
            (less, soon), (more, late) = (in_a_process("--job", kind, results) for results in sizes.values())
            print(
                f"  {kind:13} {less:6.0f} -> {more:6.0f}  x {more / less:.2f}   {soon:5.1f} s -> {late:5.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
