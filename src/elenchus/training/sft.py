"""Supervised fine-tuning: TRL's SFTTrainer on the completions' tokens (the prompts' carry no loss)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from elenchus.job import Cost
from elenchus.training.loop import Run, fit
from elenchus.training.settings import OverData, order
from elenchus.training.text import check_packing, encode, keep_short, longest


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
    """Train `model` in place on rows of an `examples` table and return the run (see `loop.fit` for the rest).

    A batch's loss is the mean over its completion tokens, end tokens included: longer completions weigh more.
    packing: the examples of a pass stand in one row, without padding; the loss is the same but for rounding.
    """
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    pairs = [encode(tokenizer, e["prompt"], e["reply"], e["completion"]) for e in examples]
    pairs = keep_short(pairs, (len(p) + len(c) for p, c in pairs), longest(model, max_length), "training examples")
    if packing:
        check_packing(model)
    rows = [{"input_ids": p + c, "labels": [-100] * len(p) + c} for p, c in pairs]
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
