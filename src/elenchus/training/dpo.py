"""Direct preference optimisation on pairs of critiques (or of any replies): TRL's DPOTrainer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from elenchus.job import Cost
from elenchus.training import parallel, rows
from elenchus.training.loop import Run, fit
from elenchus.training.settings import OverData, order
from elenchus.training.text import encode, longest, plain_prompt


def train(
    model,
    tokenizer,
    pairs: Iterable[dict],
    settings: OverData,
    *,
    beta: float,
    loss_type: str,
    sft_weight: float = 0.0,
    max_length: int = 0,
    work: Path,
    seed: int,
    cost: Cost,
    progress: Callable[[float, float, str], None],
) -> Run:
    """Train `model` in place on rows of a `pairs` table and return the run (DPO 2305.18290, equation 7).

    `sft_weight` adds that share of the chosen replies' negative log-likelihood (RPO 2404.19733, equation 1): where chosen
    and rejected share most of their words, the preference alone drives the likelihood of both down.
    A pair's `place`, where it has one, is its place among the pairs, from which the order of training is drawn; else it is
    where it comes. The reference is the model as it was loaded from its folder. Tokens of both replies count as trained, the
    reference's passes do not.
    """
    from trl import DPOConfig, DPOTrainer

    columns = {"prompt": "str", "chosen": "str", "rejected": "str", "place": "int", "tokens": "int"}
    encoded = (_row(tokenizer, pair, at) for at, pair in enumerate(pairs))
    data = rows.written(work, "pairs", columns, encoded, longest(model, max_length), "preference pairs")
    drawn = rows.column(data, "place").argsort(kind="stable")
    tokens, settings = rows.column(data, "tokens"), settings.of(len(data))
    places = drawn[order(len(data), settings, seed)]

    def build(first: int, arguments: dict, common: dict) -> DPOTrainer:
        used, at = np.unique(places[first * settings.batch :], return_inverse=True)

        class PairTrainer(DPOTrainer):
            def _prepare_dataset(self, dataset, *rest):  # each pair is tokenized once, however often it comes
                return super()._prepare_dataset(dataset.select(used), *rest).select(at)

            def _compute_loss(self, model, inputs, return_outputs):
                if sft_weight and parallel.world() > 1:
                    chosen = inputs["completion_mask"].chunk(2)[0][:, 1:].sum()  # TRL: all chosen, then all rejected
                    self.loss_weights = [1.0, sft_weight * parallel.share(int(chosen), settings)]
                return super()._compute_loss(model, inputs, return_outputs)

        texts = data.select_columns(["prompt", "chosen", "rejected"])
        losses = {loss_type: 1.0, "sft": sft_weight} if sft_weight else {loss_type: 1.0}
        weighted = {"loss_type": list(losses), "loss_weights": list(losses.values())}
        config = DPOConfig(**arguments, **weighted, beta=beta, max_length=None)
        return PairTrainer(model=model, args=config, train_dataset=texts, processing_class=tokenizer, **common)

    def after_step(run: Run) -> None:
        run.cost.trained += int(tokens[places[(run.step - 1) * settings.batch : run.step * settings.batch]].sum())

    return fit(model, settings, build, work=work, seed=seed, cost=cost, progress=progress, after_step=after_step)


def _row(tokenizer, pair: dict, at: int) -> tuple[int, dict]:
    """Return (tokens of the longer side, the pair as text: TRL adds the end token); `tokens` are those of both sides."""
    lengths = []
    for side in ("chosen", "rejected"):
        prompt, completion = encode(tokenizer, pair["prompt"], pair["reply"], pair[side])
        lengths.append(len(prompt) + len(completion))
    prompt = plain_prompt(tokenizer, json.loads(pair["prompt"]), pair["reply"])
    texts = {"prompt": prompt, "chosen": pair["chosen"], "rejected": pair["rejected"]}
    return max(lengths), {**texts, "place": pair.get("place", at), "tokens": sum(lengths)}
