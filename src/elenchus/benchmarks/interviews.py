"""A model is asked about every item of a benchmark: prompts made, replies sampled or scored, in the items' order."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from elenchus import models, parts, problems, seeds, tables
from elenchus.benchmarks import asking, reading
from elenchus.critics.drafts import by_id
from elenchus.engines import Sampling
from elenchus.engines.opening import opened
from elenchus.errors import UserError
from elenchus.problems import Problem

if TYPE_CHECKING:
    import pandas as pd

    from elenchus.job import Job, Result

CHUNK = 1024  # things to ask about of a part
REFERENCE = "reference"  # author of a set's own solutions, which nobody is asked about


@dataclass(frozen=True)
class Task:
    """One thing to ask about: a problem (attempt None) or a solution of it. shown: what the prompt may show besides."""

    about: str
    problem: Problem
    attempt: dict | None
    shown: dict


def rows_of(result: Result, name: str) -> list[dict]:
    """Return the rows of a result's table."""
    return tables.records(name, result.file(f"{name}.parquet"))


def places(job: Job) -> np.ndarray:
    """Return the rows of `problems` (for a solver) or `attempts` that are asked about: of a model's attempts, a problem's first.

    Nobody is asked about a set's own solutions, nor is a critic about what has no answer and is known to be wrong.
    """
    if job.params.role == "solver":
        return np.arange(job.inputs["problems"].count("problems"))
    rows = job.inputs["attempts"].columns("attempts", ["author", "sample", "parsed"])
    asked = (rows["author"] != REFERENCE) & ((rows["author"] != "") | (rows["sample"] == 0))
    return np.flatnonzero(asked & (rows["parsed"] | (job.params.role != "critic")))


def tasks(job: Job, where: np.ndarray | None = None) -> list[Task]:
    """Return what is asked about in the rows `where`, or in all `places`."""
    where = places(job) if where is None else where
    if not len(where):
        return []
    source, low = "problems" if job.params.role == "solver" else "attempts", int(where[0])
    table = job.inputs[source].rows(source, low, int(where[-1]) + 1).iloc[where - low]
    if source == "problems":
        return [Task(p.id, p, None, {}) for p in map(problems.from_row, table.to_dict("records"))]
    asked = by_id(job.inputs["problems"].those("problems", "problem_id", table["problem_id"]))
    said = {}
    if "critiques" in job.inputs:
        critiques = job.inputs["critiques"].those("replies", "about", table["attempt_id"])
        critiques = critiques[critiques["sample"] == 0]
        said = dict(zip(critiques["about"], critiques["text"], strict=True))
    found = []
    for row in tables.plain("attempts", table):
        if row["problem_id"] not in asked:
            given = job.inputs["problems"].count("problems")
            raise UserError(f"an attempt at {row['problem_id']}, which is not among the {given} problems given")
        shown = {"solution": row["text"], "steps": row["steps"], "critique": said.get(row["attempt_id"], "")}
        found.append(Task(row["attempt_id"], asked[row["problem_id"]], row, shown))
    return found


def hold(job: Job) -> None:
    """Write `replies`, in parts, and prompt.json: the prompt as it was, its rendering and examples, what is to be said."""
    p, asked = job.params, places(job)
    prompt = asking.read(p.prompt.name, p.prompt.text)
    about = {
        "name": prompt.name,
        "sha256": prompt.digest,
        "text": p.prompt.text,
        "role": p.role,
        "mode": p.mode,
    }
    renderer = None
    if p.mode != "head":
        renderer = asking.Renderer(models.load_tokenizer(job.inputs["model"].dir("model")), shots(job, prompt))
        about |= {"rendering": renderer.how, "shots": [list(shot) for shot in renderer.shots]}
    cuts = [(start, asked[start : start + CHUNK]) for start in range(0, len(asked), CHUNK)]
    parts.make(job, ("replies",), cuts, partial(_begin, job, prompt, renderer), "prompts answered")
    if job.shard is None:
        said = notes(tables.pieces("replies", job.out / "replies.parquet"))
        for sentence in said:
            print(f"  {p.prompt.name}: {sentence}", file=sys.stderr, flush=True)
        job.write_json("prompt", {**about, "notes": said})


def _begin(job: Job, prompt: asking.Prompt, renderer: asking.Renderer | None):
    """Return (what makes a part's replies, the engines) of a job that makes any."""
    p = job.params
    if p.mode == "head":
        head = partial(by_head, job, scorer_of(job))
        return lambda cut: {"replies": head(tasks(job, cut[1]))}, []
    engine = opened(job, "model")
    room = getattr(engine, "context", 0) or engine.config.max_position_embeddings
    by = by_words if p.mode == "verdict" and not prompt.reader else by_text
    write = partial(by, job, prompt, engine, renderer, room)
    return lambda cut: {"replies": write(tasks(job, cut[1]), cut[0])}, [engine]


def shots(job: Job, prompt: asking.Prompt) -> list[tuple[str, str]]:
    """Return the worked examples: those of the parameters, then `draw` of the input's, drawn by a digest."""
    p = job.params
    found = [(s.prompt, s.reply) for s in p.shots]
    if not p.draw:
        return found
    if "examples" not in job.inputs or p.role != "solver":
        raise UserError("worked examples are drawn for a solver, from the input `examples`")
    known = [problems.from_row(row) for row in rows_of(job.inputs["examples"], "problems")]
    own = {}
    if "references" in job.inputs:
        own = {
            a["problem_id"]: a["text"]
            for a in rows_of(job.inputs["references"], "attempts")
            if a["author"] == REFERENCE
        }
    if prompt.reader == "family":
        own = {q.id: (f := problems.load(q.family)).render(q, f.reference(q)) for q in known}
    usable = [q for q in known if q.id in own]
    if len(usable) < p.draw:
        raise UserError(
            f"{p.draw} worked examples asked for, and {len(usable)} have a reference solution; lower bench.shots"
        )
    for q in seeds.rng("shots", job.seed).sample(usable, p.draw):
        messages = prompt.messages(q)
        found.append(("\n\n".join(m["content"] for m in messages), own[q.id]))
    return found


def limit(job: Job, room: int) -> int:
    """Return how many tokens a reply may have: so many, and half of the context, at most."""
    return max(1, min(job.params.max_tokens, room // 2))


def row(task: Task, sample: int, text: str, finish: str, rendered: asking.Rendered | None, **facts) -> dict:
    """Return a row of `replies`."""
    base = {
        "reply_id": f"{task.about}>{sample}",
        "about": task.about,
        "problem_id": task.problem.id,
        "sample": sample,
        "prompt": rendered.text if rendered else "",
        "text": text,
        "finish": finish,
        "tokens": 0,
        "prompt_tokens": rendered.tokens if rendered else 0,
        "unknown": rendered.unknown if rendered else 0,
        "logprob": 0.0,
        "scores": [],
    }
    return {**base, **facts}


def by_text(
    job: Job, prompt: asking.Prompt, engine, renderer: asking.Renderer, room: int, asked: list[Task], start: int
) -> list[dict]:
    """Return replies that the model writes; in mode `verdict` of a family, with its verdict words' probabilities.

    start: how many things are asked before these, which the seed depends on.
    """
    p, rows = job.params, []
    sampling = Sampling(temperature=p.temperature, max_tokens=limit(job, room), top_p=p.top_p)
    is_plain = not renderer.tokenizer.chat_template
    rendered = [renderer(prompt.messages(t.problem, **t.shown), prompt.reply) for t in asked]
    keeps = [not usable(prompt, t) for t in asked]
    fits = [r.tokens <= room - sampling.max_tokens and not k for r, k in zip(rendered, keeps)]
    seed = seeds.derive(job.derive("samples"), start)
    written = iter(engine.sample([r.text for r, fit in zip(rendered, fits) if fit], sampling, seed, p.n))
    for task, r, fit, keep in zip(asked, rendered, fits, keeps, strict=True):
        if not fit:  # a corrector's solution stands where there is nothing to follow, at no cost
            text, finish = (task.attempt["text"], "kept") if keep else ("", "too long")
            rows += [row(task, i, text, finish, r) for i in range(p.n)]
            continue
        for i, c in enumerate(next(written)):
            text = asking.cut(c.text) if is_plain else c.text
            facts = {"tokens": len(c.tokens), "logprob": float(sum(c.logprobs))}
            if p.mode == "verdict":
                facts["scores"] = spoken(renderer.tokenizer, c, len(task.attempt["steps"]))
            rows.append(row(task, i, text.strip(), c.finish, r, **facts))
    return rows


def usable(prompt: asking.Prompt, task: Task) -> bool:
    """Return whether there is something to ask: a family's solution and critique that cannot be read have no second turn."""
    if prompt.reader != "family" or task.attempt is None:
        return True
    if not task.attempt["parsed"]:
        return False
    if not prompt.follows_critique:
        return True
    return reading.verdict("family", task.problem, tuple(task.attempt["steps"]), task.shown["critique"]).parsed


def spoken(tokenizer, completion, steps: int) -> list[float]:
    """Return the probability of "good" at each step of a written critique, [] where it has not a verdict for each."""
    from elenchus.critics import model
    from elenchus.critics.format import BAD, GOOD

    said = [(w, p) for w, p in model.verdicts(tokenizer, completion) if w in (GOOD, BAD)]
    return [p if w == GOOD else 1.0 - p for w, p in said] if len(said) == steps else []


def by_words(
    job: Job, prompt: asking.Prompt, engine, renderer: asking.Renderer, room: int, asked: list[Task], start: int
) -> list[dict]:
    """Return step scores: P(first word) / (P(first) + P(second)) after each step, or once where no step is labelled."""
    import math

    gap = " " if not renderer.tokenizer.chat_template else ""  # after a plain "Answer:" a word begins with its space
    good, bad = (gap + w for w in prompt.words)
    longest = max(len(renderer.tokenizer(w, add_special_tokens=False)["input_ids"]) for w in (good, bad))
    rows, made_of, texts = [], [], []
    for task in asked:
        steps = task.attempt["steps"]
        labelled = task.attempt["first_error"] is not None
        ends = range(1, len(steps) + 1) if labelled else [len(steps)]
        made = [
            renderer(
                prompt.messages(task.problem, **{**task.shown, "steps": steps[:k], "partial": labelled}), prompt.reply
            )
            for k in ends
        ]
        fits = all(r.tokens + longest < room for r in made)
        made_of.append((task, made, fits))
        texts += [r.text for r in made] if fits else []
    yes, no = (iter(engine.score(texts, [word] * len(texts), end=False)) for word in (good, bad))
    for task, made, fits in made_of:
        scores = []
        for _ in made if fits else ():
            gain = math.fsum(next(yes).logprobs) - math.fsum(next(no).logprobs)
            scores.append(1.0 / (1.0 + math.exp(-max(min(gain, 700.0), -700.0))))
        facts = {
            "prompt": made[-1].text,
            "scores": scores,
            "prompt_tokens": sum(r.tokens for r in made),
            "unknown": sum(r.unknown for r in made),
        }
        rows.append(row(task, 0, "", "scored" if fits else "too long", None, **facts))
    return rows


def scorer_of(job: Job):
    """Return the process head; UserError where nobody knows how questions were put to it."""
    from elenchus.training import process_head

    scorer = process_head.load(job.inputs["head"].dir("process_head"), batch_size=job.params.batch_size)
    if not scorer.tokenizer.chat_template:
        raise UserError(
            "bench.head: its tokenizer has no chat template, so it is not known how questions were put to it in training"
        )
    return scorer


def by_head(job: Job, scorer, asked: list[Task]) -> list[dict]:
    """Return step scores by a process head; a solution that is longer than its context has none."""
    from elenchus.training import process_head

    room, before = scorer.model.config.get_text_config().max_position_embeddings, scorer.tokens
    lengths = [len(process_head.encode(scorer.tokenizer, t.problem.prompt, t.attempt["steps"])[0]) for t in asked]
    short = [t for t, n in zip(asked, lengths, strict=True) if n <= room]
    scores = scorer.score_steps([t.problem.prompt for t in short], [t.attempt["steps"] for t in short])
    job.cost.prompt += scorer.tokens - before
    of = {t.about: s for t, s in zip(short, scores, strict=True)}
    return [
        row(t, 0, "", "scored" if t.about in of else "too long", None, scores=of.get(t.about, []), prompt_tokens=n)
        for t, n in zip(asked, lengths, strict=True)
    ]


def notes(replies: Iterable[pd.DataFrame]) -> list[str]:
    """Return what is to be said of the replies: words that the vocabulary lacks, prompts that did not fit, replies cut off."""
    found, ends, strange = [], Counter(), Counter()
    for rows in replies:
        ends.update(rows["finish"])
        odd = rows[rows["unknown"] > 0]
        strange += Counter(prompts=len(odd), unknown=int(odd["unknown"].sum()), read=int(odd["prompt_tokens"].sum()))
    n = ends.total()
    if strange["prompts"]:
        found.append(
            f"{strange['prompts']} of {n} prompts hold words that the model's vocabulary does not know "
            f"({strange['unknown'] / max(strange['read'], 1):.0%} of those prompts' tokens): it read <unknown> there, and the "
            "numbers say little of it"
        )
    if ends["too long"]:
        found.append(f"{ends['too long']} of {n} prompts do not fit the model's context: no answer, so wrong")
    if ends["length"]:
        found.append(f"{ends['length']} of {n} replies were cut off at the most tokens allowed")
    if ends["kept"]:
        found.append(f"{ends['kept']} of {n} solutions stand as they were: they or their critiques cannot be read")
    return found
