"""A process-reward / value head: one number in [0, 1] for every step of a solution, read at the step's last token.

TRL has dropped its PRMTrainer. Sources: Math-Shepherd (2312.08935: binary cross-entropy on step labels, hard or soft)
and ReST-MCTS* (2406.03816: regression of a partial solution's value). The model is the transformer of a causal LM: it
sees nothing behind the token that it is read at, so that one pass scores all steps of a solution.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from elenchus import models, seeds
from elenchus.conversation import render, solve
from elenchus.errors import CorruptResult, UserError
from elenchus.job import Cost
from elenchus.training import parallel, rows, sharding
from elenchus.training.loop import Run, fit
from elenchus.training.settings import OverData, order
from elenchus.training.text import longest

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset

HEAD = "head.safetensors"


class ProcessHead(nn.Module):
    """A causal LM's transformer and a linear read-out of its last hidden state."""

    def __init__(self, backbone: nn.Module):
        super().__init__()
        self.backbone, self.config = backbone, backbone.config
        self.head = nn.Linear(backbone.config.hidden_size, 1)
        nn.init.zeros_(self.head.weight)  # an untrained head says 0.5 of everything
        nn.init.zeros_(self.head.bias)

    def logits(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
        """Return the steps' logits [B, S]; input_ids, attention_mask [B, T] padded on the right, ends [B, S]."""
        hidden = self.backbone(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).last_hidden_state
        at_ends = hidden.gather(1, ends[..., None].expand(-1, -1, hidden.shape[-1]))
        return self.head(at_ends.to(self.head.weight.dtype))[..., 0]

    def forward(self, input_ids, attention_mask, ends, labels, loss_type) -> dict[str, torch.Tensor]:
        """Return {"loss"}: mean over labelled steps (labels [B, S], NaN where there is none)."""
        return {"loss": loss(self.logits(input_ids, attention_mask, ends), labels, loss_type)}


def loss(logits: torch.Tensor, labels: torch.Tensor, kind: str) -> torch.Tensor:
    """Return the mean loss over labelled steps: `bce` on labels in [0, 1] (soft or hard), or `mse` of probabilities."""
    known = ~labels.isnan()
    if kind == "mse":
        return nn.functional.mse_loss(logits[known].sigmoid(), labels[known])
    return nn.functional.binary_cross_entropy_with_logits(logits[known], labels[known])


def encode(tokenizer, question: str, steps: list[str]) -> tuple[list[int], list[int]]:
    """Return (token ids of the question and the steps, index of each step's last token).

    Steps are written `#k <step>`, as families render them, and tokenized one by one, so that no token spans two steps.
    """
    ids = tokenizer(render(tokenizer, solve(question), "assistant"), add_special_tokens=False).input_ids
    ends = []
    for k in range(len(steps)):
        ids = [*ids, *tokenizer(prefix(steps, k), add_special_tokens=False).input_ids]
        ends.append(len(ids) - 1)
    return ids, ends


def prefix(steps: list[str], k: int) -> str:
    """Return the text that step k (0-based) adds to a partial solution."""
    return f"{' ' if k else ''}#{k + 1} {steps[k]}"


def collate(some: list[dict], pad: int) -> dict[str, torch.Tensor]:
    """Return the batch of rows {ids, ends, labels}: ids padded on the right, absent steps with end 0 and label NaN."""
    width, steps = max(len(r["ids"]) for r in some), max(len(r["ends"]) for r in some)

    def padded(name: str, size: int, value: float) -> list[list]:
        return [[*r[name], *[value] * (size - len(r[name]))] for r in some]

    return {
        "input_ids": torch.tensor(padded("ids", width, pad)),
        "attention_mask": torch.tensor([[1] * len(r["ids"]) + [0] * (width - len(r["ids"])) for r in some]),
        "ends": torch.tensor(padded("ends", steps, 0)),
        "labels": torch.tensor(padded("labels", steps, math.nan), dtype=torch.float32),
    }


class Scorer:
    """A trained head in use."""

    def __init__(self, model: ProcessHead, tokenizer, batch_size: int):
        self.model, self.tokenizer, self.batch_size = model.eval(), tokenizer, batch_size
        self.tokens = 0  # read so far

    @torch.inference_mode()
    def score_steps(self, questions: list[str], steps: list[list[str]]) -> list[list[float]]:
        """Return, for each partial solution (steps without marks), the score in [0, 1] of each of its steps."""
        encoded = []
        for i, (question, own) in enumerate(zip(questions, steps, strict=True)):
            ids, ends = encode(self.tokenizer, question, own)
            encoded.append({"ids": ids, "ends": ends, "labels": [], "at": i})
        scores: list[list[float]] = [[] for _ in encoded]
        encoded = sorted(
            (r for r in encoded if r["ends"]), key=lambda r: len(r["ids"])
        )  # neighbours need little padding
        for start in range(0, len(encoded), self.batch_size):
            batch = encoded[start : start + self.batch_size]
            tensors = collate(batch, self.tokenizer.pad_token_id)
            device = self.model.head.weight.device
            logits = self.model.logits(*(tensors[k].to(device) for k in ("input_ids", "attention_mask", "ends")))
            for row, values in zip(batch, logits.sigmoid().tolist(), strict=True):
                scores[row["at"]] = values[: len(row["ends"])]
                self.tokens += len(row["ids"])
        return scores


def new(folder: Path) -> tuple[ProcessHead, object]:
    """Return (an untrained head on the transformer of the causal LM in `folder`, its tokenizer), to train: see `sharding.load`."""
    from transformers import AutoModel

    read = not parallel.spread() or parallel.first()
    return ProcessHead(_backbone(folder) if read else sharding.empty(folder, AutoModel)), models.load_tokenizer(folder)


def save(model: ProcessHead, tokenizer, folder: Path, about: dict) -> None:
    """Write backbone, head (both safetensors), tokenizer and `about` (plain data) to `folder`."""
    from safetensors.torch import save_file

    models.save(model.backbone, tokenizer, folder)
    save_file({k: v.detach().cpu().contiguous() for k, v in model.head.state_dict().items()}, str(folder / HEAD))
    (folder / "head.json").write_text(json.dumps(about, sort_keys=True, indent=1) + "\n")


def load(folder: Path, batch_size: int = 64) -> Scorer:
    """Return the scorer of a folder written by `save`, on the GPU where there is one; CorruptResult if it is none."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    model = ProcessHead(_backbone(folder))
    try:
        model.head.load_state_dict(load_file(str(folder / HEAD)))
    except (SafetensorError, OSError, RuntimeError) as e:
        raise CorruptResult(f"{folder}: not a process head ({e})") from e
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    return Scorer(model, models.load_tokenizer(folder), batch_size)


def _backbone(folder: Path) -> nn.Module:
    """Return the transformer (without the LM head) of a model folder, in float32."""
    from transformers import AutoModel

    try:
        return AutoModel.from_pretrained(
            folder, dtype="float32", local_files_only=True, trust_remote_code=False, use_safetensors=True
        )
    except (RuntimeError, OSError, ValueError) as e:
        raise CorruptResult(f"{folder}: cannot load this model: {e}") from e


def train(
    model: ProcessHead,
    tokenizer,
    paths: Iterable[dict],
    settings: OverData,
    *,
    loss_type: str,
    held_out: float,
    validate_every: int,
    max_length: int = 0,
    work: Path,
    seed: int,
    cost: Cost,
    progress: Callable[[float, float, str], None],
) -> Run:
    """Train `model` in place on paths {problem_id, question, steps, labels} and return the run.

    The share `held_out` of the problems is kept for validation, whose metrics enter the history every `validate_every`
    steps (0: never before the end) and at the end. Raises UserError where no step is labelled.
    """
    from transformers import Trainer, TrainingArguments

    columns = {"ids": "ids", "ends": "list[int]", "labels": "list[float]", "problem": "str", "tokens": "int"}
    data = rows.written(
        work, "paths", columns, _encoded(tokenizer, paths), longest(model, max_length), "labelled paths"
    )
    fitting, held = split(data.data.column("problem"), held_out, seed)
    tokens, checking = rows.column(data, "tokens"), data.select(held)
    settings = settings.of(len(fitting))
    places = fitting[order(len(fitting), settings, seed)]

    class HeadTrainer(Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            known = int((~inputs["labels"].isnan()).sum())
            return model(**inputs)["loss"] * parallel.share(known, settings)

    def build(first: int, arguments: dict, common: dict) -> Trainer:
        own = data.select(places[first * settings.batch :])

        def batch(some: list[dict]) -> dict:
            return {**collate(some, tokenizer.pad_token_id), "loss_type": loss_type}

        config = TrainingArguments(**arguments, remove_unused_columns=False)
        return HeadTrainer(model=model, args=config, train_dataset=own, data_collator=batch, **common)

    def after_step(run: Run) -> None:
        run.cost.trained += int(tokens[places[(run.step - 1) * settings.batch : run.step * settings.batch]].sum())
        due = run.step == settings.steps or (validate_every and run.step % validate_every == 0)
        if due and len(checking):
            for name, value in validate(model, tokenizer, checking, loss_type).items():
                run.note(f"validation/{name}", value)

    return fit(model, settings, build, work=work, seed=seed, cost=cost, progress=progress, after_step=after_step)


def _encoded(tokenizer, paths: Iterable[dict]) -> Iterator[tuple[int, dict]]:
    """Yield (tokens, row) of the paths that carry at least one label; UserError where none does."""
    found = labelled = 0
    for p in paths:
        found += 1
        known = [x for x in p["labels"] if not math.isnan(x)]
        if not known:
            continue
        labelled += 1
        wrong = next((x for x in known if not 0 <= x <= 1), None)
        if wrong is not None:
            raise UserError(f"a step label is {wrong}; labels lie in [0, 1] (NaN: no label)")
        if len(p["steps"]) != len(p["labels"]):
            raise UserError(f"a path has {len(p['steps'])} steps and {len(p['labels'])} labels; they must be as many")
        ids, ends = encode(tokenizer, p["question"], list(p["steps"]))
        labels = [float(x) for x in p["labels"]]
        yield len(ids), {"ids": ids, "ends": ends, "labels": labels, "problem": p["problem_id"], "tokens": len(ids)}
    if not labelled:
        raise UserError(f"0 labelled steps in {found} paths: nothing to train on")


def split(problems: pa.ChunkedArray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (rows to fit, rows to validate on) of rows of these problems; the share is of problems, each on one side."""
    import pyarrow.compute as pc

    coded = problems.dictionary_encode().unify_dictionaries()
    names = coded.chunk(0).dictionary
    shuffled = array("q", pc.sort_indices(names).to_numpy())
    seeds.rng(seed, "held out").shuffle(shuffled)
    kept = np.zeros(len(names), dtype=bool)
    kept[shuffled[: min(round(share * len(names)), len(names) - 1)]] = True
    held = kept[np.concatenate([chunk.indices.to_numpy() for chunk in coded.chunks])]
    return np.flatnonzero(~held), np.flatnonzero(held)


@torch.no_grad()
def validate(model: ProcessHead, tokenizer, paths: Dataset, loss_type: str) -> dict[str, float]:
    """Return four means over labelled steps. *Collective:* each process reads its share.

    loss; accuracy: label and score on the same side of a half; majority: the accuracy of the better constant; near:
    |score - label| <= 0.1, ReST-MCTS*'s accuracy.
    """
    device = model.head.weight.device
    count, chunk = rows.chunks(paths, 64)

    def judge(k: int) -> tuple[list[float], list[float]]:
        tensors = collate(chunk(k), tokenizer.pad_token_id)
        logits = model.logits(*(tensors[n].to(device) for n in ("input_ids", "attention_mask", "ends"))).cpu()
        known = ~tensors["labels"].isnan()
        return logits[known].tolist(), tensors["labels"][known].tolist()

    judged = zip(*parallel.shared(count, judge), strict=True)
    logits, labels = (torch.tensor(list(chain.from_iterable(column))) for column in judged)
    scores, high = logits.sigmoid(), (labels > 0.5).float().mean().item()
    return {
        "loss": loss(logits, labels, loss_type).item(),
        "accuracy": ((scores > 0.5) == (labels > 0.5)).float().mean().item(),
        "majority": max(high, 1 - high),
        "near": ((scores - labels).abs() <= 0.1).float().mean().item(),
    }
