"""What the papers' own scale would take: GPU-hours, tokens, storage, jobs. Arithmetic from named assumptions; nothing measured.

Tokens come from each kind's estimate with the lengths of `LENGTHS`, everything else from `Assumptions`, where each number
stands once. N is a model's parameters. A token that is read or written costs 2 N FLOPs, one that is trained on 6 N, 8 N where
activations are computed again. Writing is bound by memory, too: each step reads the weights once for all sequences, and each
sequence's keys and values; what is slower of the two counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

from pydantic import Field, ValidationError

from elenchus import gpus, resources, stages
from elenchus.architectures import Shape, shape
from elenchus.config import Section
from elenchus.errors import UserError, did_you_mean
from elenchus.estimates import expectations, parts_of, work_of
from elenchus.graph import Stage, explain
from elenchus.schedule import Task, exact, grouped
from elenchus.stages import Estimate, Lengths
from elenchus.training.scale import Choice, spreads

# Mathematical problems with worked solutions, in tokens of a pretrained model's tokenizer.
LENGTHS = Lengths(
    problem=120,
    around=30,
    solution=300,
    steps=8,
    step=40,
    critique=400,
    refinement=300,
    judgement=150,
    turns=10,
    action=30,
)
# The same lengths in words, for the table of assumptions.
MEANT = {
    "problem": "tokens of a question in its chat template",
    "around": "tokens that a prompt has about each further text",
    "solution": "tokens of a solution",
    "steps": "steps of a solution",
    "step": "tokens of a step",
    "critique": "tokens of a critique",
    "refinement": "tokens of a refinement",
    "judgement": "tokens of a judgement of one step",
    "turns": "turns of an agent's episode",
    "action": "tokens of an action",
}


class Assumptions(Section):
    """What the arithmetic takes for granted beside texts' lengths. None of it is measured on a GPU."""

    card: str = Field("NVIDIA H100 80GB HBM3", description="the GPU, as src/elenchus/gpus.py names it")
    writing: float = Field(
        0.5, gt=0, le=1, description="share of the memory's or the card's peak that vLLM reaches writing"
    )
    reading: float = Field(0.4, gt=0, le=1, description="share of peak FLOP/s in reading prompts")
    training: float = Field(
        0.35,
        gt=0,
        le=1,
        description="share of peak FLOP/s in training (Llama 3, 2407.21783: 0.38 to 0.43 on large clusters)",
    )
    own_writing: float = Field(
        0.1,
        gt=0,
        le=1,
        description="as `writing`, where a trainer samples with transformers and float32 weights (GRPO)",
    )
    splitting: float = Field(
        0.85, gt=0, le=1, description="share of speed that is left where a training is split over GPUs"
    )
    trained_bytes: float = Field(
        16,
        gt=0,
        description="bytes a trained parameter takes: weight, gradient, two of AdamW's, float32 (ZeRO, 1910.02054)",
    )
    frozen_bytes: float = Field(4, gt=0, description="bytes a parameter of a reference or an actor beside it takes")
    spare: float = Field(0.2, ge=0, lt=1, description="share of a GPU's memory kept for activations, keys and values")
    disk: float = Field(1.0e9, gt=0, description="bytes a second from the shared file system")
    start_tables: float = Field(20, ge=0, description="seconds before a stage without a model begins to work")
    start_writing: float = Field(
        120, ge=0, description="seconds before a stage that samples begins, its weights not counted"
    )
    start_training: float = Field(60, ge=0, description="seconds before a training begins, its weights not counted")
    rows: float = Field(1000, gt=0, description="rows a second of stages that only move tables")
    row_bytes: float = Field(100, ge=0, description="bytes a row of a table takes beside its texts, on disk")
    token_bytes: float = Field(4, ge=0, description="bytes a written token takes in tables, on disk")
    stage_files: float = Field(
        7, ge=0, description="files of a stage, its log included (the evidence's have 5.3 and a log)"
    )
    small: int = Field(600_000, ge=1, description="parameters of the model that the workflow trains itself, on a CPU")
    queue: float = Field(60, ge=0, description="seconds from a job's submission to its start on an idle cluster")
    planning: float = Field(
        33 / 20_000, gt=0, description="seconds of Snakemake's planning for each stage (docs/speed.md)"
    )


@dataclass(frozen=True)
class Need:
    """What one stage takes, on `gpus` GPUs for each of its jobs.

    start: seconds of a job before the first token or row; busy: seconds after that of all its jobs, which grow with the work.
    Where several jobs share it, one more joins what they made, in `joining` seconds without a GPU.
    """

    stage: Stage
    model: str  # hub id, "" for the workflow's own or none
    work: str  # trains, writes, tables
    gpus: int
    start: float
    busy: float
    joining: float
    parts: int  # that jobs can share; 0: none can
    shards: int  # jobs at most (`shards` of params.yaml)
    sampled: int
    prompt: int
    trained: int
    models: float  # bytes of weights and optimizer states that it keeps
    tables: float  # bytes of tables that it keeps
    seeded: bool  # made once for each seed

    @property
    def jobs(self) -> int:
        """Return the jobs that share the stage."""
        return max(1, min(self.parts, self.shards))

    @property
    def seconds(self) -> float:
        """Return the seconds of each of its jobs."""
        return self.start + self.busy / self.jobs

    @property
    def gpu_hours(self) -> float:
        """Return the GPU-hours that its jobs hold."""
        return self.seconds * self.jobs * self.gpus / 3600

    def times(self, k: float) -> Need:
        """Return the same stage on k times the problems, samples and steps: work and tables grow, models do not."""
        counts = {name: round(getattr(self, name) * k) for name in ("sampled", "prompt", "trained")}
        times = {name: getattr(self, name) * k for name in ("busy", "joining", "parts", "tables")}
        return replace(self, **times, **counts)


def assume(given: Iterable[str]) -> tuple[Assumptions, Lengths]:
    """Return the assumptions with `name=value` texts laid over them; UserError for an unknown name or a wrong value."""
    own, lengths = {}, {}
    known = {f.name for f in fields(Lengths)}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--assume {text}: write name=value, for example --assume training=0.4")
        if name in known:
            if not value.isdigit() or int(value) < 1:
                raise UserError(f"--assume {text}: {name} is a number of tokens, 1 or more; found {value!r}")
            lengths[name] = int(value)
        elif name in Assumptions.model_fields:
            own[name] = value
        else:
            names = [*Assumptions.model_fields, *sorted(known)]
            raise UserError(
                f"--assume {text}: unknown name {name!r}{did_you_mean(name, names)}; names: {', '.join(names)}"
            )
    try:
        made = Assumptions.model_validate(own)
    except ValidationError as e:
        raise UserError(f"--assume: {explain(e, Assumptions)}") from None
    gpus.card(made.card)
    return made, replace(LENGTHS, **lengths)


def needs(
    chosen: Iterable[Stage],
    a: Assumptions,
    lengths: Lengths = LENGTHS,
    shards: int = 1,
    training: Choice = Choice(),  # noqa: B008 (frozen)
) -> list[Need]:
    """Return what each stage takes, in the order given: parents first.

    shards: jobs that share a stage at most. training: the section of params.yaml, whose processes trainings have where their
    memory does not need more.
    """
    chosen = list(chosen)
    expected = expectations(chosen, lengths)
    small = expectations(chosen)  # the workflow's own model writes the laptop's texts
    seeded: dict[str, bool] = {}
    found = []
    for s in chosen:
        # the summary is one over all seeds
        seeded[s.digest] = s.kind != "summary" and (s.seed is not None or any(seeded[p.digest] for p in s.parents))
        rows = sum(expected[p.digest].rows for p in s.parents)
        e = expected[s.digest] if s.pretrained else small[s.digest]
        given = training.of_model(s.pretrained).world if spreads(s.kind) else 1
        one = need(s, e, rows, given, seeded[s.digest], a, lengths)
        found.append(replace(one, parts=parts_of(s, expected), shards=shards))
    return found


def need(s: Stage, e: Estimate, given: int, processes: int, seeded: bool, a: Assumptions, lengths: Lengths) -> Need:
    """Return what a stage takes; given: rows of its inputs, processes: those that train it, a GPU each, where it is trained."""
    work, model = resources.work(s), s.pretrained
    facts = shape(model) if model else None
    parameters = facts.parameters if facts else a.small
    width, start, busy = 0, a.start_tables, max(given, e.rows) / a.rows
    if s.kind == "pretrained":
        work, busy = "tables", 2 * parameters / a.disk
    elif work != "tables" and facts is None:
        busy = work_of(e.sampled, e.prompt, e.trained)  # as on the laptop
    elif work != "tables":
        width = max(width_of(s, work, facts, a), processes)
        load = models_of(s) * 4 * parameters / a.disk  # the workflow saves weights in float32
        start = (a.start_training if work == "trains" else a.start_writing) + load
        busy = (
            trainer_seconds(s, e, facts, width, a, lengths)
            if work == "trains"
            else writer_seconds(s, e, facts, a, lengths)
        )
    tables = e.rows * a.row_bytes + (0 if work == "trains" else e.sampled * a.token_bytes)
    counts = (e.sampled, e.prompt, e.trained)
    return Need(
        s, model, work, width, start, busy, e.rows / a.rows, 0, 1, *counts, kept_of(s, work, parameters), tables, seeded
    )


def kept_of(s: Stage, work: str, parameters: int) -> float:
    """Return the bytes of weights (float32; of a pretrained model two bytes each) and optimizer states that a stage keeps."""
    if s.kind == "pretrained":
        return 2 * parameters
    if work != "trains":
        return 0
    optimizer = "optimizer.safetensors" in stages.load(s.kind).OUTPUTS and s.params.get("save_optimizer", True)
    return (4 + 8 * optimizer) * parameters


def models_of(s: Stage) -> int:
    """Return how many models and heads a stage has in memory."""
    offers = {name.rstrip("?*"): offer for name, offer in stages.load(s.kind).INPUTS.items()}
    held = [given for name, given in s.inputs.items() if offers[name] in ("model", "process_head")]
    return sum(len(given) if isinstance(given, tuple) else 1 for given in held)


def frozen_of(s: Stage) -> int:
    """Return how many frozen models a training holds beside its own: references, the actor of a reward."""
    if s.kind in ("dpo", "step_dpo"):
        return 1
    return (s.params["beta"] > 0) + ("actor" in s.inputs) if s.kind == "grpo" else 0


def width_of(s: Stage, work: str, facts: Shape, a: Assumptions) -> int:
    """Return the GPUs that a stage needs for its memory, a power of two, at least those that its parameters ask for."""
    if work == "trains":
        size = (a.trained_bytes + frozen_of(s) * a.frozen_bytes) * facts.parameters
    else:
        size = models_of(s) * number_bytes(s) * facts.parameters
    width = (s.params.get("engine") or {}).get("tensor_parallel", 1)
    while size > width * gpus.card(a.card).memory * (1 - a.spare):
        width *= 2
    return width


def number_bytes(s: Stage) -> int:
    """Return the bytes of a number where a stage writes or reads: vLLM's by its setting, transformers' 4."""
    return 4 if (s.params.get("engine") or {}).get("dtype", "float32") == "float32" else 2


def most_written(facts: Shape, sequences: int, size: int, context: int, card: gpus.Card) -> float:
    """Return the tokens a second that a card writes at most, in so many sequences at once of `context` tokens each on average.

    size: bytes of a number. Each step computes 2 N FLOPs a sequence, and reads the weights once and every sequence's keys and
    values; the slower of the two bounds it (the roofline model, Williams and others 2009).
    """
    n = facts.parameters
    computing = 2 * n * sequences / (card.bf16 if size == 2 else card.float32)
    moving = size * (n + sequences * context * facts.kv_numbers) / card.bandwidth
    return sequences / max(computing, moving)


def writer_seconds(s: Stage, e: Estimate, facts: Shape, a: Assumptions, lengths: Lengths) -> float:
    """Return the seconds of reading and writing of a stage that computes with a model."""
    size = number_bytes(s)
    card = gpus.card(a.card)
    peak = card.bf16 if size == 2 else card.float32
    rate = a.writing * most_written(facts, s.params.get("batch_size", 256), size, lengths.solved, card)
    return e.prompt * 2 * facts.parameters / (peak * a.reading) + e.sampled / rate


def trainer_seconds(s: Stage, e: Estimate, facts: Shape, width: int, a: Assumptions, lengths: Lengths) -> float:
    """Return the seconds of a training on `width` GPUs: its passes, its references' and what it reads and writes itself."""
    card, n = gpus.card(a.card), facts.parameters
    peak = card.bf16 if s.params["precision"] == "bfloat16" else card.float32
    each = (8 if s.params["activation_checkpointing"] else 6) + 2 * referred(s)
    flops = e.trained * each * n / a.training + e.prompt * 2 * n / a.reading
    rate = a.own_writing * most_written(facts, s.params["batch"], 4, lengths.solved, card)
    return (flops / peak + e.sampled / rate) / (width * (a.splitting if width > 1 else 1))


def referred(s: Stage) -> bool:
    """Return whether a reference model reads what is trained on."""
    return s.kind in ("dpo", "step_dpo") or (s.kind == "grpo" and s.params["beta"] > 0)


def tasks(
    found: Sequence[Need], a: Assumptions, groups: dict[str, int] | None = None, side_by_side: int = 1
) -> list[Task]:
    """Return the jobs of stages for the simulated scheduler; groups: {kind: stages in one job}, so many of them at a time."""
    made: list[Task] = []
    kinds: list[str] = []
    last: dict[str, int] = {}  # where the job stands that ends a stage
    for n in found:
        parents = tuple(sorted({last[p.digest] for p in n.stage.parents}))
        made += [Task(exact(n.seconds), n.gpus, parents)] * n.jobs
        if n.jobs > 1:
            made.append(Task(exact(a.start_tables + n.joining), 0, tuple(range(len(made) - n.jobs, len(made)))))
        kinds += [n.stage.kind] * (len(made) - len(kinds))
        last[n.stage.digest] = len(made) - 1
    return grouped(made, chunks(kinds, groups), side_by_side) if groups else made


def chunks(kinds: Sequence[str], groups: dict[str, int]) -> list[list[int]]:
    """Return which of the stages of these kinds go into one job, in their order: `groups[kind]` of a kind."""
    found = []
    for kind, size in groups.items():
        own = [i for i, k in enumerate(kinds) if k == kind]
        found += [own[k : k + size] for k in range(0, len(own), size)]
    return found
