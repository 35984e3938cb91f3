"""Supervised fine-tuning: TRL's SFTTrainer on the tokens that carry a label."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from elenchus.job import Cost
from elenchus.training import parallel, rows
from elenchus.training.loop import Run, fit
from elenchus.training.settings import OverData, order
from elenchus.training.text import check_packing, encode, longest

IGNORED = -100  # the label of a token without loss


def on_completion(tokenizer, messages: str, reply: str, completion: str) -> tuple[list[int], list[int]]:
    """Return (token ids, labels) of an example: the loss is over the completion, the prompt carries none."""
    before, after = encode(tokenizer, messages, reply, completion)
    return before + after, [IGNORED] * len(before) + after


def train(
    model,
    tokenizer,
    examples: Iterable[dict],
    settings: OverData,
    *,
    label: Callable[..., tuple[list[int], list[int]]] = on_completion,
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
    """Train `model` in place on rows of an `examples` table and return the run (see `loop.fit` for the rest).

    label(tokenizer, prompt, reply, completion) makes an example's (token ids, labels), IGNORED where there is no loss. A
    batch's loss is the mean over its labelled tokens, end tokens included: longer completions weigh more. packing: the
    examples of a pass stand in one row, without padding; the loss is the same but for rounding.
    """
    from trl import SFTConfig, SFTTrainer

    def encoded() -> Iterator[tuple[int, dict]]:
        for e in examples:
            ids, labels = label(tokenizer, e["prompt"], e["reply"], e["completion"])
            yield len(ids), {"input_ids": ids, "labels": labels, "tokens": len(ids)}

    columns = {"input_ids": "ids", "labels": "ids", "tokens": "int"}
    data = rows.written(work, "examples", columns, encoded(), longest(model, max_length), "training examples")
    if packing:
        parallel.from_first(lambda: check_packing(model))
    tokens, settings = rows.column(data, "tokens"), settings.of(len(data))
    places = order(len(data), settings, seed)

    def build(first: int, arguments: dict, common: dict) -> SFTTrainer:
        own = data.select_columns(["input_ids", "labels"]).select(places[first * settings.batch :])
        config = SFTConfig(**arguments, max_length=None, loss_type=loss_type, padding_free=packing)
        return SFTTrainer(model=model, args=config, train_dataset=own, processing_class=tokenizer, **common)

    def after_step(run: Run) -> None:
        run.cost.trained += int(tokens[places[(run.step - 1) * settings.batch : run.step * settings.batch]].sum())

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
