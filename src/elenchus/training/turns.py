"""Supervised fine-tuning on dialogues: the loss is over the completion and over the turns that carry `weight: 1`.

Observations, the question and the turns of weight 0 carry none. A learned turn's loss takes in the token by which the
turn ends: the end token where the chat template writes one, else the word of the next role.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from elenchus.conversation import render
from elenchus.errors import UserError
from elenchus.job import Cost
from elenchus.training.loop import Run, fit
from elenchus.training.settings import OverData, order
from elenchus.training.text import check_packing, keep_short, longest

IGNORED = -100  # the label of a token without loss


def encode(tokenizer, messages: str, reply: str, completion: str) -> tuple[list[int], list[int]]:
    """Return (token ids, labels) of an example; `messages` is JSON, whose turns may carry `weight`.

    The pieces between and inside learned turns are tokenized apart, as a sampler meets them.
    """
    said = json.loads(messages)
    whole = render(tokenizer, said, reply)
    pieces: list[tuple[str, bool]] = []
    at = 0
    for k, message in enumerate(said):
        if not message.get("weight"):
            continue
        before = render(tokenizer, said[:k], message["role"])
        end = len(before) + len(message["content"])
        if whole[:end] != before + message["content"]:
            raise UserError(
                f"the chat template does not write turn {k + 1} ({message['content']!r}) as a sampler was asked for it; "
                "turns inside a dialogue can then not be learned"
            )
        pieces += [(whole[at : len(before)], False), (message["content"], True)]
        at = end
    pieces += [(whole[at:], False), (completion, True)]
    ids: list[int] = []
    labels: list[int] = []
    ends = False  # the next piece begins with the end of a learned turn
    for text, learned in pieces:
        new = tokenizer(text, add_special_tokens=False).input_ids
        ids += new
        labels += new if learned else [*new[: int(ends)], *[IGNORED] * len(new[int(ends) :])]
        ends = learned
    return [*ids, tokenizer.eos_token_id], [*labels, tokenizer.eos_token_id]


def train(
    model,
    tokenizer,
    examples: Iterable[dict],
    settings: OverData,
    *,
    max_length: int = 0,
    loss_type: str = "nll",
    packing: bool = False,
    work: Path,
    seed: int,
    cost: Cost,
    progress: Callable[[float, float, str], None],
    inherit: Path | None = None,
    save_optimizer: Path | None = None,
) -> Run:
    """Train `model` in place on rows of an `examples` table and return the run (see `loop.fit` for the rest)."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    pairs = [encode(tokenizer, e["prompt"], e["reply"], e["completion"]) for e in examples]
    pairs = keep_short(pairs, (len(ids) for ids, _ in pairs), longest(model, max_length), "training examples")
    if packing:
        check_packing(model)
    rows = [{"input_ids": ids, "labels": labels} for ids, labels in pairs]
    settings = settings.of(len(rows))
    places = order(len(rows), settings, seed)

    def build(first: int, arguments: dict, common: dict) -> SFTTrainer:
        data = Dataset.from_list([rows[i] for i in places[first * settings.batch :]])
        config = SFTConfig(**arguments, max_length=None, loss_type=loss_type, padding_free=packing)
        return SFTTrainer(model=model, args=config, train_dataset=data, processing_class=tokenizer, **common)

    def after_step(run: Run) -> None:
        step = places[(run.step - 1) * settings.batch : run.step * settings.batch]
        run.cost.trained += sum(len(rows[i]["input_ids"]) for i in step)

    return fit(
        model,
        settings,
        build,
        work=work,
        seed=seed,
        cost=cost,
        progress=progress,
        inherit=inherit,
        save_optimizer=save_optimizer,
        after_step=after_step,
    )
