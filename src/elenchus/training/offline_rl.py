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
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from elenchus.job import Cost
from elenchus.training import parallel, rows
from elenchus.training.loop import Run, fit
from elenchus.training.settings import OverData, cycle, order
from elenchus.training.text import encode, longest

CHUNK = 64  # sequences in one pass when the reference reads them
COLUMNS = {"ids": "ids", "prompt": "int", "reward": "float", "tokens": "int"}  # of moves and of examples


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
    moves: Iterable[dict],
    examples: Iterable[dict],
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
    from transformers import Trainer, TrainingArguments

    limit = longest(model, max_length)
    paid = rows.written(work, "moves", COLUMNS, _encoded(tokenizer, moves), limit, "moves")
    taught = rows.written(work, "examples", COLUMNS, _encoded(tokenizer, examples), limit, "examples")
    settings, rewards = settings.of(len(paid)), rows.column(paid, "reward")
    places = balanced(rewards, settings, seed) if balance else order(len(paid), settings, seed)
    lessons = order(len(taught), settings, seed)
    lengths, more = rows.column(paid, "tokens"), rows.column(taught, "tokens")
    referred = paid

    def refer() -> None:
        nonlocal referred
        referred = rows.beside(paid, "reference", _references(model, paid, tokenizer.pad_token_id))

    objective = Objective(model, clip, sft_weight)

    def build(first: int, arguments: dict, common: dict) -> Trainer:
        at = first * settings.batch
        data = Beside(referred.select(places[at:]), taught.select(lessons[at:]))
        config = TrainingArguments(**arguments, remove_unused_columns=False)
        collator = {"data_collator": lambda some: collate(some, tokenizer.pad_token_id)}
        return Trainer(model=objective, args=config, train_dataset=data, **collator, **common)

    def after_step(run: Run) -> None:
        at = slice((run.step - 1) * settings.batch, run.step * settings.batch)
        run.cost.trained += int(lengths[places[at]].sum() + more[lessons[at]].sum())
        means = {n: sum(v) / len(v) for n, v in zip(("policy_loss", "imitation_loss", "ratio"), zip(*objective.told))}
        for name, value in parallel.mean(means).items():
            run.note(name, value)
        objective.told.clear()

    def at_start(run: Run) -> None:
        run.cost.prompt += int(lengths.sum())
        run.note("positive_moves", int((rewards > 0).sum()) / len(paid))

    hooks = {"from_origin": refer, "at_start": at_start, "after_step": after_step}
    return fit(objective, settings, build, work=work, seed=seed, cost=cost, progress=progress, **hooks)


def balanced(rewards: np.ndarray, settings: OverData, seed: int) -> array:
    """Return the move at every place of every batch: one of positive reward, one of negative, in turn.

    Each side is passed over in random order as often as needed. Where one side is empty the other is all there is.
    """
    sides = [np.flatnonzero((rewards > 0) == positive) for positive in (True, False)]
    if not all(map(len, sides)):
        print(f"  all {len(rewards)} moves have a reward of one sign: not balanced", file=sys.stderr)
        return order(len(rewards), settings, seed)
    draws = [cycle(len(side), seed, "side", s) for s, side in enumerate(sides)]
    return array("q", (sides[k % 2][next(draws[k % 2])] for k in range(settings.steps * settings.batch)))


class Beside(torch.utils.data.Dataset):
    """Moves and examples, one of each at every place."""

    def __init__(self, moves, examples):
        self.moves, self.examples = moves, examples

    def __len__(self) -> int:
        return len(self.moves)

    def __getitem__(self, place: int) -> dict:
        move, example = self.moves[place], self.examples[place]
        paid = {"move": move["ids"], "of": move["prompt"], "reference": move["reference"], "reward": move["reward"]}
        return {**paid, "example": example["ids"], "by": example["prompt"]}


def collate(some: Sequence[dict], pad: int) -> dict[str, torch.Tensor]:
    """Return the batch of rows {move, of, example, by, reference, reward}: moves first, then examples."""
    sequences = [(r["move"], r["of"]) for r in some] + [(r["example"], r["by"]) for r in some]
    batch = _padded(sequences, pad)
    return batch | {
        name: torch.tensor([r[key] for r in some]) for name, key in (("reference", "reference"), ("rewards", "reward"))
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


def _encoded(tokenizer, given: Iterable[dict]) -> Iterator[tuple[int, dict]]:
    """Yield (tokens, row of COLUMNS) of moves or examples; `prompt` counts the prompt's tokens."""
    for row in given:
        prompt, completion = encode(tokenizer, row["prompt"], row["reply"], row["completion"])
        ids = prompt + completion
        yield len(ids), {"ids": ids, "prompt": len(prompt), "reward": float(row.get("reward", 0.0)), "tokens": len(ids)}


@torch.no_grad()
def _references(model, moves, pad: int) -> np.ndarray:
    """Return the mean log-probability [moves] of each move under `model`. *Collective.*"""
    model.eval()

    def means(some: list[dict]) -> torch.Tensor:
        batch = {n: v.to(model.device) for n, v in _padded([(r["ids"], r["prompt"]) for r in some], pad).items()}
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits
        return mean_logprob(logits, batch["labels"])

    return rows.measured(moves, CHUNK, 1, means)[:, 0]
