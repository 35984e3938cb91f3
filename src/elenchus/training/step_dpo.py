"""Conservative direct preference optimisation of continuations of a shared prefix, each pair with its own label smoothing.

TRL's DPOTrainer ends every reply with the end token, and smooths all pairs alike; here a step need not end the reply.
Source: MCTS-DPO (2405.00451), equation 8, and its code (IPO 2310.12036).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from elenchus.conversation import render
from elenchus.job import Cost
from elenchus.training import parallel, rows, sharding
from elenchus.training.loop import Run, fit
from elenchus.training.settings import OverData, order
from elenchus.training.text import longest

SIDES = ("chosen", "rejected")
CHUNK = 64  # pairs in one pass when the reference reads them


def loss(
    ratios: torch.Tensor, smoothing: torch.Tensor, lengths: torch.Tensor, *, kind: str, beta: float
) -> torch.Tensor:
    """Return the loss of each pair [B].

    ratios [B, 2]: log pi / pi_ref of chosen and rejected; h is their difference. smoothing [B]: a. lengths [B, 2]: tokens.
    sigmoid: -(1 - a) log s(beta h) - a log s(-beta h). ipo: (h - 1 / (2 beta))^2, h of ratios per token; no smoothing.
    """
    if kind == "ipo":
        per_token = ratios / lengths
        return (per_token[:, 0] - per_token[:, 1] - 1 / (2 * beta)) ** 2
    h = beta * (ratios[:, 0] - ratios[:, 1])
    return -(1 - smoothing) * functional.logsigmoid(h) - smoothing * functional.logsigmoid(-h)


def log_probabilities(model, input_ids: torch.Tensor, attention_mask: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Return the summed log-probabilities [N] of the tokens that `own` [N, T] marks; inputs padded on the right."""
    logits = model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).logits[:, :-1].float()
    each = logits.log_softmax(-1).gather(2, input_ids[:, 1:, None])[..., 0]
    return (each * own[:, 1:]).sum(1)


def collate(some: list[dict], pad: int) -> dict[str, torch.Tensor]:
    """Return the batch of rows as `encode` makes them: all chosen, then all rejected."""
    sequences = [(r["prompt"], r[side]) for side in SIDES for r in some]
    width = max(len(a) + len(b) for a, b in sequences)
    padding = [width - len(a) - len(b) for a, b in sequences]
    batch = {
        "input_ids": torch.tensor([[*a, *b, *[pad] * n] for (a, b), n in zip(sequences, padding)]),
        "attention_mask": torch.tensor([[1] * (width - n) + [0] * n for n in padding]),
        "own": torch.tensor([[0] * len(a) + [1] * len(b) + [0] * n for (a, b), n in zip(sequences, padding)]),
        "smoothing": torch.tensor([r["smoothing"] for r in some]),
    }
    if "reference" in some[0]:
        batch["reference"] = torch.tensor([r["reference"] for r in some])
    return batch


def encode(tokenizer, pair: dict) -> dict:
    """Return a row of a `step_pairs` table as tokens: prompt with prefix, chosen, rejected; texts tokenized apart."""

    def ids(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False).input_ids

    start = ids(render(tokenizer, json.loads(pair["prompt"]), pair["reply"]) + pair["prefix"])
    gap = " " if pair["prefix"] else ""
    row = {"prompt": start, "smoothing": float(pair["smoothing"])}
    for side in SIDES:
        row[side] = [*ids(gap + pair[side]), *([tokenizer.eos_token_id] if pair[f"{side}_ends"] else [])]
    return row


def train(
    model,
    tokenizer,
    pairs: Iterable[dict],
    settings: OverData,
    *,
    reference: Callable,
    beta: float,
    loss_type: str,
    sft_weight: float,
    max_length: int = 0,
    work: Path,
    seed: int,
    cost: Cost,
    progress: Callable[[float, float, str], None],
) -> Run:
    """Train `model` in place on rows of a `step_pairs` table and return the run.

    reference() returns the model that the tie is to, another object than `model`; it is let go once it has read the pairs,
    on the device that the training uses, each process its share. `sft_weight` adds that share of the chosen
    continuations' negative log-likelihood per token. Tokens of both sides count as trained, the reference's pass not.
    """
    from transformers import Trainer, TrainingArguments

    def encoded() -> Iterator[tuple[int, dict]]:
        for pair in pairs:
            row = encode(tokenizer, pair)
            sizes = [len(row[side]) for side in SIDES]
            if all(sizes):
                yield len(row["prompt"]) + max(sizes), {**row, "tokens": 2 * len(row["prompt"]) + sum(sizes)}

    columns = dict.fromkeys(("prompt", *SIDES), "ids") | {"smoothing": "float", "tokens": "int"}
    data = rows.written(work, "pairs", columns, encoded(), longest(model, max_length), "step pairs")
    tokens, settings = rows.column(data, "tokens"), settings.of(len(data))
    places = order(len(data), settings, seed)
    referred = data
    seen: list[tuple[float, float]] = []

    def refer() -> None:
        nonlocal referred
        referred = rows.beside(data, "reference", _references(reference(), data, tokenizer.pad_token_id))

    class PairTrainer(Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            own = inputs["own"]
            lengths = own.sum(1).reshape(2, -1).T
            logs = log_probabilities(model, inputs["input_ids"], inputs["attention_mask"], own).reshape(2, -1).T
            ratios = logs - inputs["reference"]
            found = loss(ratios, inputs["smoothing"], lengths, kind=loss_type, beta=beta).mean()
            margins = beta * (ratios[:, 0] - ratios[:, 1]).detach()
            seen.append(((margins > 0).float().mean().item(), margins.mean().item()))
            chosen = lengths[:, 0].sum()
            part = parallel.share(int(chosen), settings) if sft_weight else 1.0
            return found - sft_weight * part * logs[:, 0].sum() / chosen

    def build(first: int, arguments: dict, common: dict) -> Trainer:
        own = referred.select(places[first * settings.batch :])
        config = TrainingArguments(**arguments, remove_unused_columns=False)

        def batch(some: list[dict]) -> dict:
            return collate(some, tokenizer.pad_token_id)

        trainer = PairTrainer(model=model, args=config, train_dataset=own, data_collator=batch, **common)
        trainer.model_accepts_loss_kwargs = (
            False  # the loss is a mean over pairs, to be divided by the passes of a step
        )
        return trainer

    def after_step(run: Run) -> None:
        run.cost.trained += int(tokens[places[(run.step - 1) * settings.batch : run.step * settings.batch]].sum())
        means = {n: sum(v) / len(v) for n, v in zip(("rewards/accuracies", "rewards/margins"), zip(*seen))}
        for name, value in parallel.mean(means).items():
            run.note(name, value)
        seen.clear()

    hooks = {"from_origin": refer, "after_step": after_step}
    return fit(model, settings, build, work=work, seed=seed, cost=cost, progress=progress, **hooks)


@torch.no_grad()
def _references(model, data, pad: int) -> np.ndarray:
    """Return the log-probabilities [pairs, 2] of both sides under `model`. *Collective.*"""
    sharding.shard(model)
    model.to(parallel.device()).eval()

    def logs(some: list[dict]) -> torch.Tensor:
        batch = {name: v.to(model.device) for name, v in collate(some, pad).items()}
        return log_probabilities(model, batch["input_ids"], batch["attention_mask"], batch["own"]).reshape(2, -1).T

    return rows.measured(data, CHUNK, 2, logs)
