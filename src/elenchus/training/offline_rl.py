"""Offline reinforcement learning on whole sequences with rewards: a clipped, length-normalised ratio, and imitation.

Source: SPC (arXiv 2504.19162), the released trainer.  For a move of m tokens, end token included,

    lp = mean_t log pi(token_t)      rho = exp(lp - lp_ref)      ref: the model at the start
    L_policy = - mean over moves of min(R rho, R clip(rho, 1 - c, 1 + c))
    L_sft    = - mean over examples of lp
    L        = L_policy + w L_sft

TRL has no such trainer: its ratios are per token, or its rewards come from sampling as it trains.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import chain as chained
from pathlib import Path

import torch
from torch import nn

from elenchus.job import Cost
from elenchus.training import parallel
from elenchus.training.loop import Run, fit
from elenchus.training.settings import OverData, cycle, order
from elenchus.training.text import encode, keep_short, longest

CHUNK = 64  # sequences in one pass when the reference reads them


def mean_logprob(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean log-probability [B] of the labelled tokens; logits [B, T, V], labels [B, T], -100 where none."""
    shifted, known = labels[:, 1:].clamp(min=0), labels[:, 1:] != -100
    own = logits[:, :-1].float().log_softmax(-1).gather(-1, shifted[..., None])[..., 0]
    return (own * known).sum(1) / known.sum(1)


def policy_loss(lp: torch.Tensor, reference: torch.Tensor, rewards: torch.Tensor, clip: float) -> torch.Tensor:
    """Return L_policy of moves: lp, reference [B] mean log-probabilities, rewards [B] used as advantages."""
    ratio = (lp - reference).exp()
    return -torch.minimum(rewards * ratio, rewards * ratio.clamp(1 - clip, 1 + clip)).mean()


class Objective(nn.Module):
    """The causal LM with its loss. A batch's first half are moves, its second half examples to imitate."""

    def __init__(self, model: nn.Module, clip: float, sft_weight: float):
        super().__init__()
        self.model, self.config, self.clip, self.sft_weight = model, model.config, clip, sft_weight
        self.told: list[tuple[float, float, float]] = []  # of each pass: policy loss, imitation loss, mean ratio

    def forward(self, input_ids, attention_mask, labels, reference, rewards) -> dict[str, torch.Tensor]:
        """Return {"loss"}: input_ids, attention_mask, labels [2 B, T]; reference, rewards [B]."""
        logits = self.model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).logits
        lp = mean_logprob(logits, labels)
        moves, examples = lp[: len(rewards)], lp[len(rewards) :]
        policy, imitation = policy_loss(moves, reference, rewards, self.clip), -examples.mean()
        ratio = (moves - reference).exp().mean()
        self.told.append(tuple(x.item() for x in (policy, imitation, ratio)))
        return {"loss": policy + self.sft_weight * imitation}


def train(
    model,
    tokenizer,
    moves: Sequence[dict],
    examples: Sequence[dict],
    settings: OverData,
    *,
    clip: float,
    sft_weight: float,
    balance: bool,
    max_length: int = 0,
    work: Path,
    seed: int,
    cost: Cost,
    progress: Callable[[float, float, str], None],
) -> Run:
    """Train `model` in place on moves {prompt, reply, completion, reward} and examples, and return the run."""
    from datasets import Dataset
    from transformers import Trainer, TrainingArguments

    limit = longest(model, max_length)
    paid, taught = (_rows(tokenizer, rows, limit, what) for rows, what in ((moves, "moves"), (examples, "examples")))
    settings = settings.of(len(paid))
    places = balanced([row["reward"] for row in paid], settings, seed) if balance else order(len(paid), settings, seed)
    lessons = order(len(taught), settings, seed)
    read = _reference(model, tokenizer, paid)

    def pair(place: int) -> dict:
        move, example = paid[places[place]], taught[lessons[place]]
        return {"move": move["ids"], "of": move["prompt"], "example": example["ids"], "by": example["prompt"]} | {
            "reference": move["reference"],
            "reward": move["reward"],
        }

    objective = Objective(model, clip, sft_weight)

    def build(first: int, arguments: dict, common: dict) -> Trainer:
        data = Dataset.from_list([pair(i) for i in range(first * settings.batch, len(places))])
        config = TrainingArguments(**arguments, remove_unused_columns=False)
        collator = {"data_collator": lambda rows: collate(rows, tokenizer.pad_token_id)}
        return Trainer(model=objective, args=config, train_dataset=data, **collator, **common)

    def after_step(run: Run) -> None:
        at = range((run.step - 1) * settings.batch, run.step * settings.batch)
        run.cost.trained += sum(len(paid[places[i]]["ids"]) + len(taught[lessons[i]]["ids"]) for i in at)
        means = {n: sum(v) / len(v) for n, v in zip(("policy_loss", "imitation_loss", "ratio"), zip(*objective.told))}
        for name, value in parallel.mean(means).items():
            run.note(name, value)
        objective.told.clear()

    def at_start(run: Run) -> None:
        run.cost.prompt += read
        run.note("positive_moves", sum(row["reward"] > 0 for row in paid) / len(paid))

    hooks = {"at_start": at_start, "after_step": after_step}
    return fit(objective, settings, build, work=work, seed=seed, cost=cost, progress=progress, **hooks)


def balanced(rewards: Sequence[float], settings: OverData, seed: int) -> list[int]:
    """Return the move at every place of every batch: one of positive reward, one of negative, in turn.

    Each side is passed over in random order as often as needed. Where one side is empty the other is all there is.
    """
    sides = [[i for i, r in enumerate(rewards) if (r > 0) == positive] for positive in (True, False)]
    if not all(sides):
        print(f"  all {len(rewards)} moves have a reward of one sign: not balanced", file=sys.stderr)
        return order(len(rewards), settings, seed)
    draws = [cycle(len(side), seed, "side", s) for s, side in enumerate(sides)]
    turns = chained.from_iterable((0, 1) for _ in range(settings.steps * settings.batch))
    return [sides[s][next(draws[s])] for s, _ in zip(turns, range(settings.steps * settings.batch))]


def collate(rows: Sequence[dict], pad: int) -> dict[str, torch.Tensor]:
    """Return the batch of rows {move, of, example, by, reference, reward}: moves first, then examples."""
    sequences = [(r["move"], r["of"]) for r in rows] + [(r["example"], r["by"]) for r in rows]
    batch = _padded(sequences, pad)
    return batch | {
        name: torch.tensor([r[key] for r in rows]) for name, key in (("reference", "reference"), ("rewards", "reward"))
    }


def _padded(sequences: Sequence[tuple[list[int], int]], pad: int) -> dict[str, torch.Tensor]:
    """Return the tensors of (ids, tokens of the prompt), padded on the right, labels on completions only."""
    width = max(len(ids) for ids, _ in sequences)
    rest = [width - len(ids) for ids, _ in sequences]
    return {
        "input_ids": torch.tensor([[*ids, *[pad] * r] for (ids, _), r in zip(sequences, rest)]),
        "attention_mask": torch.tensor([[1] * len(ids) + [0] * r for (ids, _), r in zip(sequences, rest)]),
        "labels": torch.tensor(
            [[-100] * prompt + ids[prompt:] + [-100] * r for (ids, prompt), r in zip(sequences, rest)]
        ),
    }


def _rows(tokenizer, rows: Sequence[dict], limit: int, what: str) -> list[dict]:
    """Return {ids, prompt (its tokens), reward} of moves or examples short enough."""
    found = []
    for row in rows:
        prompt, completion = encode(tokenizer, row["prompt"], row["reply"], row["completion"])
        reward = float(row.get("reward", 0.0))
        found.append({"ids": prompt + completion, "prompt": len(prompt), "reward": reward})
    return keep_short(found, (len(r["ids"]) for r in found), limit, what)


@torch.no_grad()
def _reference(model, tokenizer, rows: list[dict]) -> int:
    """Put the model's own mean log-probability of each move into its row; return the tokens read."""
    model.eval()
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        batch = _padded([(r["ids"], r["prompt"]) for r in part], tokenizer.pad_token_id)
        tensors = {k: v.to(model.device) for k, v in batch.items()}
        logits = model(input_ids=tensors["input_ids"], attention_mask=tensors["attention_mask"], use_cache=False).logits
        for row, value in zip(part, mean_logprob(logits, tensors["labels"]).tolist(), strict=True):
            row["reference"] = value
    return sum(len(r["ids"]) for r in rows)
