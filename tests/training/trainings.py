"""Small trainings of every kind on a random model of twenty thousand parameters, the same in any number of processes.

As a script it is one of several processes: `trainings.py <folder> <jobs.json>` runs the jobs there, one after the other.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from elenchus import conversation, environment, models
from elenchus.critics import format as critique_format
from elenchus.critics.drafts import Draft
from elenchus.job import Cost
from elenchus.problems import chain
from elenchus.stages.grpo import Params as GrpoParams
from elenchus.training import parallel, sharding
from elenchus.training.settings import OverData

OPTIONS = chain.Options(modulus=5, min_length=1, max_length=3)
BATCH = {"batch": 8, "learning_rate": 3.0e-3, "schedule": "cosine", "warmup_steps": 2, "weight_decay": 0.01}
LORA = {"rank": 4, "alpha": 8.0, "targets": ["q_proj", "v_proj", "down_proj"]}


def make(folder: Path) -> Path:
    """Write the model, warmed up on critiques, and return its folder."""
    from elenchus.training import sft

    tokenizer = models.new_tokenizer(chain.vocabulary(OPTIONS))
    fresh = models.new_model(len(tokenizer), width=32, layers=2, heads=2, context=96, seed=3)
    models.save(fresh, tokenizer, folder)
    model, tokenizer = models.load(folder)
    rows = [critique(d, critique_format.render(d.truth())) for d in drafts()]
    warm = OverData(steps=60, batch=8, learning_rate=1.0e-2)
    sft.train(model, tokenizer, rows, warm, work=folder / "work", seed=1, cost=Cost(), progress=lambda *_: None)
    models.save(model, tokenizer, folder)
    return folder


def drafts() -> list[Draft]:
    """Return twelve right solutions of unlike lengths."""
    rng, found = random.Random(0), []
    for i in range(12):
        problem = chain.generate(OPTIONS, rng)
        steps = chain.reference(problem)
        found.append(Draft(f"d{i}", problem, chain.render(problem, steps), tuple(steps), True, -1))
    return found


def critique(draft: Draft, text: str) -> dict:
    prompt = json.dumps(conversation.critique(draft.problem.prompt, draft.text))
    return {"prompt": prompt, "reply": "critic", "completion": text}


def examples() -> list[dict]:
    return [
        {"prompt": json.dumps(conversation.solve(d.problem.prompt)), "reply": "assistant", "completion": d.text}
        for d in drafts()
    ]


def train(kind: str, folder: Path, at: Path, stop: int = 0, **changes):
    """Train `kind` in `at` and return (model, run, cost); stop: SIGTERM comes after so many steps."""
    model, tokenizer = sharding.load(folder)
    assert any(p.is_meta for p in model.parameters()) == (parallel.spread() and not parallel.first())
    cost = Cost()

    def progress(done: float, total: float, what: str) -> None:
        if done == stop:
            os.kill(os.getpid(), signal.SIGTERM)

    around = {"work": at / "work", "seed": 5, "cost": cost, "progress": progress}
    made = KINDS[kind](model, tokenizer, folder, changes, around)
    model, run = made if isinstance(made, tuple) else (model, made)
    return model, run, cost


def settings(changes: dict, **own) -> OverData:
    return OverData(**{"steps": 6, "save_steps": 2, **BATCH, **own, **changes})


def sft(model, tokenizer, folder, changes, around):
    from elenchus.training import sft

    more = {k: changes.pop(k) for k in ("packing", "loss_type") if k in changes}
    return sft.train(model, tokenizer, examples(), settings(changes), **more, **around)


def sft_turns(model, tokenizer, folder, changes, around):
    from elenchus.training import sft, turns

    return sft.train(model, tokenizer, examples(), settings(changes), label=turns.on_turns, **around)


def dpo(model, tokenizer, folder, changes, around):
    from elenchus.training import dpo

    pairs = [
        {**critique(d, ""), "chosen": critique_format.render(d.truth()), "rejected": "bad wrong"[4 * (i % 2) :]}
        for i, d in enumerate(drafts())
    ]
    given = settings(changes, learning_rate=1.0e-3)
    return dpo.train(model, tokenizer, pairs, given, beta=0.1, loss_type="sigmoid", sft_weight=0.5, **around)


def step_dpo(model, tokenizer, folder, changes, around):
    from elenchus.training import step_dpo

    pairs = []
    for i, d in enumerate(drafts()):
        prompt = {"prompt": json.dumps(conversation.solve(d.problem.prompt)), "reply": "assistant", "prefix": ""}
        ends = {"chosen_ends": True, "rejected_ends": bool(i % 2), "smoothing": 0.1 * (i % 3)}
        pairs.append({**prompt, "chosen": d.text, "rejected": "#1 1 + 1 = 3", **ends})
    given, how = settings(changes), {"beta": 0.3, "loss_type": "sigmoid", "sft_weight": 0.5}
    how["reference"] = lambda: sharding.load(folder)[0]
    return step_dpo.train(model, tokenizer, pairs, given, **how, **around)


def process_head(model, tokenizer, folder, changes, around):
    from elenchus.training import process_head

    head, tokenizer = process_head.new(folder)
    paths = [
        {
            "problem_id": d.problem.id,
            "question": d.problem.prompt,
            "steps": list(d.steps),
            "labels": [float((i + k) % 2) for k in range(len(d.steps))],
        }
        for i, d in enumerate(drafts())
    ]
    how = {"loss_type": "bce", "held_out": 0.2, "validate_every": 3}
    return head, process_head.train(head, tokenizer, paths, settings(changes), **how, **around)


def offline_rl(model, tokenizer, folder, changes, around):
    from elenchus.training import offline_rl

    moves = [{**critique(d, "good right"[5 * (i % 2) :]), "reward": 1.0 - 2 * (i % 2)} for i, d in enumerate(drafts())]
    how = {"clip": 0.2, "sft_weight": 0.15, "balance": True}
    return offline_rl.train(model, tokenizer, moves, examples(), settings(changes), **how, **around)


def grpo(model, tokenizer, folder, changes, around):
    from elenchus.training import grpo

    terms = {"format": 1.0, "verdict": 0.5}
    validated = changes.pop("validated", True)
    p = GrpoParams(**{"steps": 6, "save_steps": 2, "batch": 16, "learning_rate": 1.0e-3, "terms": terms, **changes})
    pool = drafts()
    rewarder = grpo.Rewarder(pool, p.terms, "paper", around["cost"])
    groups = -(-p.steps // p.num_iterations)
    prompts = grpo.prompts_in_order([d.correct for d in pool], p.batch // p.num_generations, groups, None, seed=1)
    given = {n: getattr(p, n) for n in ("num_generations", "num_iterations", "beta", "loss_type", "epsilon")}
    given |= {"scale_rewards": p.scale_rewards, "temperature": 0.9, "max_tokens": 24, "best_by": "verdict"}
    wrong = Draft("w", pool[0].problem, "#1 1 + 1 = 3 answer 3", ("1 + 1 = 3",), False, 0)
    validation = grpo.validator(model, tokenizer, [*pool[:3], wrong], 24, around["cost"])
    given |= {"validation": validation if validated else None, "validate_every": 4}
    return grpo.train(model, tokenizer, rewarder, prompts, p, **given, **around)


KINDS = {
    f.__name__: f for f in (sft, sft_turns, dpo, step_dpo, process_head, offline_rl, grpo)
}  # the names of stage kinds


def record(at: Path, model, run, cost: Cost) -> None:
    """Write what a training came to: history, costs, weights."""
    from safetensors.torch import save_file

    at.mkdir(parents=True, exist_ok=True)
    seen = {name: w.detach().clone() for name, w in model.named_parameters()}
    save_file(seen, str(at / "weights.safetensors"))
    told = {"history": run.history, "cost": asdict(cost), "class": type(model).__name__}
    (at / "run.json").write_text(json.dumps(told))


def main(folder: Path, jobs: list[dict]) -> None:
    """Run the jobs {name, kind, strategy, changes, stop} together with the other processes."""
    import torch

    parallel.start("ddp")

    def finish() -> None:
        """End the job in all processes but the first, as ever; but stay together for the next one."""
        torch.distributed.barrier()
        if not parallel.first():
            raise SystemExit(0)

    parallel.finish = finish
    for job in jobs:
        parallel._chosen["strategy"] = job["strategy"]
        at = folder / job["name"]
        try:
            found = train(job["kind"], folder / "model", at, job.get("stop", 0), **job.get("changes", {}))
        except SystemExit as e:
            assert e.code == (143 if job.get("stop") else 0)
        else:
            record(at, *found)
        torch.distributed.barrier()
        if parallel.first():
            print("done", job["name"], flush=True)


if __name__ == "__main__":
    environment.torch_setup(1)
    main(Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()))
    sys.stdout.flush()
    os._exit(0)
