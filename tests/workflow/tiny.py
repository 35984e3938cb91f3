"""Tiny finished results (problems, random models, solutions, pairs, labels, examples), and training stages on them."""

from __future__ import annotations

import json
import random
from pathlib import Path

from elenchus import conversation, models, seeds, tables
from elenchus.critics import format as critique_format
from elenchus.graph import kind_code
from elenchus.job import file_entries
from elenchus.problems import chain
from elenchus.stages import load

OPTIONS = chain.Options(modulus=7, min_length=2, max_length=3)


def finish(folder: Path) -> str:
    """Write the manifest that makes `folder` a finished result, and return its path below the results' parent."""
    (folder / "stage.json").write_text(json.dumps({"files": file_entries(folder)}))
    return str(Path("results") / folder.relative_to(folder.parents[1]))


def table(results: Path, name: str, rows: list[dict], stage: str = "") -> str:
    """Make a result that holds one table."""
    folder = results / "given" / (stage or name)
    folder.mkdir(parents=True)
    tables.write(name, rows, folder / f"{name}.parquet")
    return finish(folder)


def model(results: Path, name: str = "model", seed: int = 1) -> str:
    """Make a result that holds a random model of some 10 k parameters."""
    folder = results / "given" / name
    tokenizer = models.new_tokenizer(chain.vocabulary(OPTIONS))
    made = models.new_model(len(tokenizer), width=32, layers=1, heads=2, context=128, seed=seed)
    models.save(made, tokenizer, folder / "model")
    return finish(folder)


def make(results: Path, n: int = 40) -> dict[str, str]:
    """Make all inputs that the training stages can take and return {name: result folder}."""
    rng = random.Random(0)
    problems = [chain.generate(OPTIONS, rng) for _ in range(n)]
    drafts = [chain.corrupt(p, rng, 0.4) for p in problems]
    made = {"problems": [], "solutions": [], "pairs": [], "labels": [], "examples": []}
    for i, (p, steps) in enumerate(zip(problems, drafts, strict=True)):
        checks, text = chain.check_steps(p, steps), chain.render(p, steps)
        first = next((k for k, c in enumerate(checks) if not c.ok), -1)
        answer = steps[-1].split()[-1]
        ids = {"problem_id": p.id, "solution_id": f"s{i}"}
        made["problems"].append(
            {"problem_id": p.id, "family": "chain", "split": "train", "prompt": p.prompt, "answer": p.answer}
            | {"meta": json.dumps(p.meta)}
        )
        made["solutions"].append(
            {**ids, "family": "chain", "sample": 0, "temperature": 1.0, "text": text, "steps": steps, "answer": answer}
            | {"parsed": True, "correct": answer == p.answer, "first_error": first, "finish": "end", "tokens": 20}
            | {"error": "" if first < 0 else checks[first].error, "logprob": -1.0}
        )
        units = critique_format.from_checks(checks)
        good = critique_format.render(units)
        prompt = json.dumps(conversation.critique(p.prompt, text))
        made["pairs"].append(
            {**ids, "pair_id": f"p{i}", "prompt": prompt, "reply": "critic", "chosen": good, "rejected": text}
            | {"chosen_critic": "a", "rejected_critic": "b", "reason": "", "margin": 1.0, "chosen_gain": 1.0}
            | {"rejected_gain": 0.0, "kept": i % 2 == 0}
        )
        labels = [float(c.ok) for c in checks[:-1]] + [float("nan")]
        made["labels"].append({"path_id": f"l{i}", "problem_id": p.id, "steps": steps, "labels": labels, "source": ""})
        made["examples"].append(
            {"example_id": f"e{i}", "problem_id": p.id, "prompt": prompt, "reply": "critic", "completion": good}
        )
    found = {name: table(results, name, rows) for name, rows in made.items()}
    return {**found, "model": model(results), "actor": model(results, "actor", seed=2)}


STAGES = {
    "sft": {"steps": 60, "batch": 8, "save_steps": 7},
    "dpo": {"steps": 40, "batch": 4, "save_steps": 5},
    "process_head": {"steps": 80, "batch": 8, "save_steps": 9, "held_out": 0.2, "validate_every": 20},
    "grpo": {"steps": 12, "batch": 16, "save_steps": 3, "max_tokens": 24, "validate_every": 4, "beta": 0.02}
    | {"terms": {"verdict": 0.2, "refinement": 1.0, "format": 1.0}, "num_iterations": 2, "learning_rate": 1.0e-3},
}


def spec(kind: str, given: dict[str, str], **changes) -> dict:
    """Return the specification of a stage of `kind` on the inputs of `make`."""
    inputs = {
        "sft": {"model": given["model"], "examples": [given["examples"]]},
        "dpo": {"model": given["model"], "pairs": given["pairs"]},
        "process_head": {"model": given["model"], "labels": given["labels"], "problems": given["problems"]},
        "grpo": {"critic": given["model"], "actor": given["actor"], "solutions": given["solutions"]}
        | {"problems": given["problems"], "validation": given["solutions"], "validation_problems": given["problems"]},
    }[kind]
    params = load(kind).Params.model_validate(STAGES[kind] | changes).model_dump(mode="json")
    digest = f"{seeds.derive(kind, params) % 16**16:016x}"
    code = {"families": ["chain"], "code": kind_code(kind, ("chain",))}
    return {"kind": kind, "digest": digest, "params": params, "inputs": inputs, "rng_seed": 5, "seed": 0, **code}
