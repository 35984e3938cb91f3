"""Replies from a JSONL file, brought into the items' order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from elenchus.benchmarks import interviews, records, store
from elenchus.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from elenchus.job import Job


def replies(job: Job) -> list[dict]:
    """Return the rows of `replies` of the job's file; UserError as the stage kind says."""
    file = source(job)
    tasks = interviews.tasks(job)
    names = ids(tasks)
    given: dict[tuple[str, int], tuple[int, str]] = {}  # (about, sample) -> (row of the file, text)
    unknown: list[tuple[int, str]] = []
    for record in records.read(file):
        said, text = record.answer("id"), record.text("text", empty=True)
        sample = record.whole("sample", 0) if record.has("sample") else 0
        about = names.get(said)
        if about is None:
            unknown.append((record.row, said))
            continue
        if (about, sample) in given:
            raise UserError(
                f"{file}, row {record.row}: id {said!r} is there already, in row {given[about, sample][0]}; each id once, "
                'or with "sample": 0, 1, ... where an item has several replies'
            )
        given[about, sample] = record.row, text
    if unknown:
        row, said = unknown[0]
        raise UserError(
            f"{file}, row {row}: no item has the id {said!r}{did_you_mean(said, list(names)[:5000])}; {len(unknown)} of the file's "
            f"ids are not among the {len(tasks)} items. Ids are the published ones, such as {next(iter(names))!r}"
            + (" (bench.items takes a part of the items only; leave it out)" if given else "")
        )
    n = 1 + max((sample for _, sample in given), default=0)
    missing = [(t, i) for t in tasks for i in range(n) if (t.about, i) not in given]
    if missing:
        task, sample = missing[0]
        key = next(name for name, about in names.items() if about == task.about)
        raise UserError(
            f"{file}: {len(missing)} of {n * len(tasks)} replies are missing, the first of id {key!r}"
            + (f", sample {sample}" if n > 1 else "")
            + '; every item needs one (an empty "text" counts as no answer)'
        )
    facts = {"tokens": None, "prompt_tokens": None}
    return [interviews.row(t, i, given[t.about, i][1], "imported", None, **facts) for t in tasks for i in range(n)]


def ids(tasks: list[interviews.Task]) -> dict[str, str]:
    """Return {id: what it is about}: published ids where they are unambiguous, split/id, and our own."""
    found: dict[str, str] = {}
    twice = set()
    own = {}
    for t in tasks:
        key, split = str(t.problem.meta.get("key", t.problem.id)), t.problem.meta.get("split", "")
        author = t.attempt["author"] if t.attempt else ""
        for name in (key, f"{split}/{key}", f"{key}/{author}", f"{split}/{key}/{author}"):
            if found.setdefault(name, t.about) != t.about:
                twice.add(name)
        own[t.about] = t.about
    return {**{k: v for k, v in found.items() if k not in twice}, **own}


def source(job: Job) -> Path:
    """Return the file, whose bytes are those that the stage's digest names; UserError where they are not."""
    p = job.params
    named = [f for f in map(Path, job.machine.get("generations", ())) if f.name == p.name]
    for file in named:
        if file.is_file() and store.sha256(file) == p.sha256:
            return file
    if not named:
        raise UserError(f"bench.generations: it no longer names the file {p.name}")
    raise UserError(f"{named[0]}: not there, or its bytes have changed since this run was planned. Run snakemake again")


def facts(path: str) -> dict[str, str]:
    """Return the parameters that name a file of replies, for the plan; UserError where there is none or it is no JSONL."""
    file = Path(path)
    if not file.is_file():
        raise UserError(
            f"bench.generations: no file {path}; it is JSONL, a line an item: {json.dumps({'id': '17', 'text': '...'})}"
        )
    return {"name": file.name, "sha256": store.sha256(file)}
