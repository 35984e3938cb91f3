"""The format of lm-evaluation-harness 0.4.13: a results file for each model, and the samples of each task."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from elenchus.exporting.tasks import Sample, Task
from elenchus.metrics import catalogue


def write(tasks: list[Task], to: Path) -> list[Path]:
    """Write a results file and the samples of each task for every model; return the files."""
    written = []
    for model in dict.fromkeys(t.model for t in tasks):
        own = [t for t in tasks if t.model == model]
        several = len({t.seed for t in own}) > 1
        names = {t.digest: t.name + (f"_seed{t.seed}" if several else "") for t in own}
        at = max(t.ended for t in own).replace(":", "-").rstrip("Z")
        folder = to / re.sub(r"[\"<>:/|\\?*\[\]]+", "__", model)
        folder.mkdir(parents=True, exist_ok=True)
        for t in own:
            rows = samples(t)
            file = folder / f"samples_{names[t.digest]}_{at}.jsonl"
            file.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows))
            written.append(file)
        results = {
            "results": {
                names[t.digest]: {
                    "name": names[t.digest],
                    "alias": t.title,
                    "sample_len": len({s.about for s in t.samples}),
                    **{f"{k},none": v for k, v in t.metrics.items() if v == v},
                }
                for t in own
            },
            "group_subtasks": {names[t.digest]: [] for t in own},
            "configs": {names[t.digest]: {"task": names[t.digest], "dataset_name": t.benchmark} for t in own},
            "versions": {names[t.digest]: t.digest for t in own},
            "n-shot": {names[t.digest]: t.params.get("draw", 0) for t in own},
            "higher_is_better": {names[t.digest]: {k: better(k) for k in t.metrics} for t in own},
            "n-samples": {
                names[t.digest]: {
                    "original": len({s.about for s in t.samples}),
                    "effective": len({s.about for s in t.samples}),
                }
                for t in own
            },
            "config": {
                "model": model,
                "model_args": None,
                "batch_size": str(own[0].params.get("batch_size", "")),
                "limit": None,
            },
            "model_source": "elenchus",
            "model_name": model,
            "model_name_sanitized": folder.name,
            "task_hashes": {names[t.digest]: hash_of("".join(s.prompt for s in t.samples)) for t in own},
            "total_evaluation_time_seconds": str(sum(t.seconds for t in own)),
        }
        file = folder / f"results_{at}.json"
        file.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")
        written.append(file)
    return written


def better(metric: str) -> bool | None:
    """Return whether more of a metric is better, None where neither is."""
    return {"higher": True, "lower": False}.get(catalogue.find(metric).better)


def samples(t: Task) -> list[dict]:
    """Return a row for each item, its replies as repeats of one request."""
    items: dict[str, list[Sample]] = {}
    for s in t.samples:
        items.setdefault(s.about, []).append(s)
    rows = []
    for i, own in enumerate(items.values()):
        first, scores = own[0], [s.score for s in own if s.score is not None]
        rows.append(
            {
                "doc_id": i,
                "doc": {"id": first.id, "question": first.question, "answer": first.target},
                "target": first.target,
                "arguments": {"gen_args_0": {"arg_0": first.prompt, "arg_1": json.dumps(t.params, sort_keys=True)}},
                "resps": [[s.text for s in own]],
                "filtered_resps": [s.said for s in own],
                "filter": "none",
                "metrics": ["correct"] if scores else [],
                "doc_hash": hash_of(first.question),
                "prompt_hash": hash_of(first.prompt),
                "target_hash": hash_of(first.target),
                **({"correct": sum(scores) / len(scores)} if scores else {}),
            }
        )
    return rows


def hash_of(text: str) -> str:
    """Return the SHA-256 of a text, in hexadecimal, as the harness hashes documents."""
    return hashlib.sha256(text.encode()).hexdigest()
