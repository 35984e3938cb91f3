"""The format of inspect_ai 0.3.285: a log for each task."""

from __future__ import annotations

import json
from pathlib import Path

from elenchus.exporting.tasks import Sample, Task

FINISHES = {"end": "stop", "stop": "stop", "length": "max_tokens", "too long": "model_length"}


def write(tasks: list[Task], to: Path) -> list[Path]:
    """Write a log for each task; return the files."""
    to.mkdir(parents=True, exist_ok=True)
    written = []
    for t in tasks:
        at = t.ended.rstrip("Z") + "+00:00"
        file = to / f"{at.replace(':', '-')}_{t.name}_{t.digest}.json"
        file.write_text(json.dumps(log(t, at), indent=1, ensure_ascii=False) + "\n")
        written.append(file)
    return written


def log(t: Task, at: str) -> dict:
    """Return the log of one task: specification, results, usage, samples."""
    ids = list(dict.fromkeys(s.id for s in t.samples))
    epochs = 1 + max((s.sample for s in t.samples), default=0)
    usage = {"input_tokens": sum(s.prompt_tokens for s in t.samples), "output_tokens": sum(s.tokens for s in t.samples)}
    usage["total_tokens"] = sum(usage.values())
    scored = sum(s.score is not None for s in t.samples)
    metrics = {k: {"name": k, "value": v} for k, v in t.metrics.items() if v == v}
    score = {"name": "elenchus", "scorer": "elenchus", "scored_samples": scored, "metrics": metrics}
    return {
        "version": 2,
        "status": "success",
        "eval": {
            "eval_id": t.digest,
            "run_id": t.digest,
            "created": at,
            "task": t.title,
            "task_id": t.digest,
            "dataset": {"name": t.benchmark, "samples": len(ids), "sample_ids": ids, "shuffled": False},
            "model": t.model,
            "config": {"epochs": epochs},
            "packages": {},
            "metadata": {"seed": t.seed, "stage": t.digest, "parameters": t.params},
        },
        "plan": {"name": "plan", "steps": []},
        "results": {"total_samples": len(t.samples), "completed_samples": len(t.samples), "scores": [score]},
        "stats": {"started_at": at, "completed_at": at, "model_usage": {t.model: usage}},
        "samples": [sample(s, t.model) for s in t.samples],
    }


def sample(s: Sample, model: str) -> dict:
    """Return one sample of a log; what was asked is the prompt as the model read it."""
    reply = {"role": "assistant", "content": s.text, "source": "generate"}
    usage = {"input_tokens": s.prompt_tokens, "output_tokens": s.tokens, "total_tokens": s.prompt_tokens + s.tokens}
    grade = (
        {}
        if s.score is None
        else {"elenchus": {"value": "C" if s.score else "I", "answer": s.said, "explanation": s.text}}
    )
    return {
        "id": s.id,
        "epoch": s.sample + 1,
        "input": s.prompt or s.question,
        "target": s.target,
        "messages": [{"role": "user", "content": s.prompt or s.question}, reply],
        "output": {
            "model": model,
            "choices": [{"message": reply, "stop_reason": FINISHES.get(s.finish, "unknown")}],
            "completion": s.text,
            "usage": usage,
        },
        "scores": grade,
        "metadata": {"question": s.question, "about": s.about, "finish": s.finish},
    }
