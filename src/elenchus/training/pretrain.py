"""The seed model: a small Llama trained from scratch to solve, criticise and refine, each imperfectly.

Three phases: drills (single facts, single comparisons), solving, then a mixture of all. Skills come in sudden
transitions, at another step with every seed. So phases end where a measured skill passes a gate, the mixture leans away
from what is already good enough, and training stops at the first check where every skill is inside its window and most
solutions are well-formed, on a few problems and then again on many. Where no check is, the nearest is kept. All is
counted in steps, none of it in time.
A running average of the weights (decay 0.97) was tried and left out: it makes solving near perfect before the critic
finds its first error.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from elenchus import models, problems, seeds
from elenchus.errors import UserError
from elenchus.job import Cost
from elenchus.problems import Problem
from elenchus.training import checkpoints, skills
from elenchus.training.curriculum import Curriculum, Example
from elenchus.training.loop import Run

if TYPE_CHECKING:
    import torch

    from elenchus.stages.seed_model import Params

SKILL_OF = {"solve": "pass@1", "critique": "f1", "refine": "refine"}


class Pupil:
    """The model in training with what steers it: data, optimizers, engine and held-out problems."""

    def __init__(self, p: Params, seed: int):
        import torch

        from elenchus.engines.transformers_engine import TransformersEngine

        self.p, self.seed = p, seed
        self.family = problems.load(p.family)
        options = self.family.Options.model_validate(p.options)
        self.tokenizer = models.new_tokenizer(self.family.vocabulary(options))
        vocab = self.tokenizer.get_vocab()
        shape = {"width": p.width, "layers": p.layers, "heads": p.heads, "context": p.context}
        self.model = models.new_model(len(vocab), **shape, seed=seeds.derive(seed, "weights"))
        self.curriculum = Curriculum(self.family, options, vocab, p.error_rates, p.verdict_weight)
        self.engine = TransformersEngine((self.model, self.tokenizer), batch_size=128)
        self.few, self.many, self.fresh = (
            self.held_out(options, name, n)
            for name, n in (("few", p.check_problems), ("many", p.card_problems), ("fresh", p.card_problems))
        )
        self.drills = [self.curriculum.example("drill", random.Random(i)) for i in range(64)]
        hidden = [w for name, w in self.model.named_parameters() if w.ndim == 2 and "embed" not in name]
        rest = [w for name, w in self.model.named_parameters() if w.ndim != 2 or "embed" in name]
        self.muon = torch.optim.Muon(hidden, lr=p.muon_rate, weight_decay=0.0)
        self.adamw = torch.optim.AdamW(rest, lr=p.adamw_rate, weight_decay=0.0)
        self.adamw.state = self.muon.state  # their parameters are disjoint: one state, so one file in a checkpoint

    def held_out(self, options, name: str, n: int) -> list[Problem]:
        """Return `n` problems of the validation split (which training never sees)."""
        rng = seeds.rng(self.seed, name)
        return [problems.draw(self.family, options, "validation", rng) for _ in range(n)]

    def step(self, run: Run, shares: dict[str, float]) -> float:
        """Take one optimizer step and return its loss (weighted mean over the predicted words, in nats)."""
        batch = self.curriculum.batch(self.seed, run.step, shares, self.p.batch)
        total = sum(sum(example.weights) for group in batch.values() for example in group)
        summed = 0.0
        for group in batch.values():  # one task at a time: sequences of like length, a third less padding
            loss = self.losses(group).sum() / total
            loss.backward()
            summed += loss.item()
            run.cost.trained += sum(len(example.ids) for example in group)
        warm = min(1.0, (run.step + 1) / self.p.warmup_steps)
        for optimizer, peak in ((self.muon, self.p.muon_rate), (self.adamw, self.p.adamw_rate)):
            optimizer.param_groups[0]["lr"] = peak * warm
            optimizer.step()
            optimizer.zero_grad()
        return summed

    def losses(self, examples: list[Example]) -> torch.Tensor:
        """Return the weighted cross-entropy of every token, (examples, longest - 1)."""
        import torch

        width = max(len(example.ids) for example in examples)
        ids_BT, weights_BT = torch.zeros(len(examples), width, dtype=torch.long), torch.zeros(len(examples), width)
        for i, example in enumerate(examples):
            ids_BT[i, : len(example.ids)] = torch.tensor(example.ids)
            weights_BT[i, : len(example.ids)] = torch.tensor(example.weights)
        logits_BTV = self.model(input_ids=ids_BT, use_cache=False).logits[:, :-1]
        loss_BT = torch.nn.functional.cross_entropy(logits_BTV.transpose(1, 2), ids_BT[:, 1:], reduction="none")
        return loss_BT * weights_BT[:, 1:]

    def check(self, run: Run, phase: str) -> dict[str, float]:
        """Return the skills that matter in `phase`, on held-out drills or problems.

        Skills that would end the mixture are measured again on many problems: a good draw of few is not enough.
        """
        import torch

        if phase == "drill":
            with torch.no_grad():
                loss_BT = self.losses(self.drills)
            return {"drill": torch.exp(-loss_BT[loss_BT > 0]).mean().item()}
        seed, limit = seeds.derive(self.seed, "check", run.step), self.p.max_tokens
        if phase == "solve":
            return skills.solving(self.engine, self.family, self.few, seed, limit)[0]
        measured = skills.measure(self.engine, self.family, self.few, seed, limit)
        if passed(self.p, phase, measured):
            measured = skills.measure(self.engine, self.family, self.many, seed, limit)
        return measured


def train(
    p: Params, seed: int, work: Path, cost: Cost, progress: Callable[[float, float, str], None]
) -> tuple[Pupil, Run, dict]:
    """Train a seed model; return it, the finished run (its history) and the card's contents.

    Resumes from the newest checkpoint below `work`: the result is the same to the byte.
    """
    pupil, run = Pupil(p, seed), Run(cost, extra={"phase": "drill", "phases": {}, "shares": {}})
    identity = {"seed": seed, "params": p.model_dump(mode="json")}
    checkpoints.restore(work, run, pupil.model, pupil.muon, identity)
    caps = {"drill": p.drill_steps, "solve": p.solve_steps, "mixture": p.mixture_steps}
    while run.extra["phase"] != "done":
        loss = pupil.step(run, shares(p, run))
        run.step += 1
        run.note("loss", loss)
        if not loss < float("inf"):
            raise UserError(f"the loss is {loss} after step {run.step}; lower muon_rate and adamw_rate")
        phase, taken = run.extra["phase"], run.step - sum(run.extra["phases"].values())
        told = f"{phase}: loss {loss:.3f}"
        if run.step % p.check_every == 0 or taken == caps[phase]:
            measured = pupil.check(run, phase)
            for name, value in measured.items():
                run.note(name, value)
            if phase == "mixture":
                run.extra["shares"] = lean(p, measured)
                keep_nearest(run, pupil.model, miss(p, measured))
            if taken == caps[phase] or passed(p, phase, measured):
                run.extra["phases"][phase] = taken
                run.extra["phase"] = {"drill": "solve", "solve": "mixture", "mixture": "done"}[phase]
            told = f"{phase}: " + ", ".join(f"{k} {v:.2f}" for k, v in measured.items() if k != "n_wrong")
        progress(run.step, sum(caps.values()), told)
        if run.step % p.save_steps == 0:
            checkpoints.save(work, run, pupil.model, pupil.muon, identity)
    pupil.model.load_state_dict(run.best, strict=False)  # tied weights are stored once
    run.cost.sampled += pupil.engine.sampled_tokens
    run.cost.prompt += pupil.engine.prompt_tokens
    return pupil, run, card(pupil, run)


def shares(p: Params, run: Run) -> dict[str, float]:
    """Return each task's share of the present step's batch (to be normalised)."""
    if run.extra["phase"] == "drill":
        return {"drill": 1.0}
    if run.extra["phase"] == "solve":
        return {"drill": p.shares["drill"], "solve": 1 - p.shares["drill"]}
    return run.extra["shares"] or p.shares


def lean(p: Params, measured: dict[str, float]) -> dict[str, float]:
    """Return the mixture's shares after a check: full at a window's lower end, `least_share` of that at its upper."""
    leaned = dict(p.shares)
    for task, skill in SKILL_OF.items():
        low, high = p.windows[task]
        leaned[task] *= max(p.least_share, min(1.0, (high - measured[skill]) / (high - low)))
    return leaned


def passed(p: Params, phase: str, measured: dict[str, float]) -> bool:
    """Return whether the phase has done its work."""
    if phase == "drill":
        return measured["drill"] >= p.drill_gate
    if phase == "solve":
        return measured["pass@1"] >= p.solve_gate
    return miss(p, measured) == 0


def miss(p: Params, measured: dict[str, float]) -> float:
    """Return how far the skills are outside their windows, summed; 0 where all are inside."""
    outside = [max(p.windows[t][0] - measured[s], measured[s] - p.windows[t][1], 0.0) for t, s in SKILL_OF.items()]
    return sum(outside) + max(p.least_formed - measured["formed"], 0.0)


def keep_nearest(run: Run, model: torch.nn.Module, missed: float) -> None:
    """Remember the weights where they miss the windows by less than all before."""
    if missed < run.extra.get("miss", float("inf")):
        run.extra |= {"miss": missed, "kept_step": run.step}
        run.best = {name: weights.detach().clone() for name, weights in model.named_parameters()}


def card(pupil: Pupil, run: Run) -> dict:
    """Return how good the finished model is, on problems that neither training nor its end has seen."""
    p, seed = pupil.p, seeds.derive(pupil.seed, "card")
    narrow = pupil.fresh[: max(1, p.card_problems // 4)]
    measured = skills.measure(pupil.engine, pupil.family, pupil.fresh, seed, p.max_tokens)
    many, _ = skills.solving(pupil.engine, pupil.family, narrow, seeds.derive(seed, 32), p.max_tokens, n=32)
    return {
        "family": p.family,
        "options": p.options,
        "parameters": sum(w.numel() for w in pupil.model.parameters()),
        "vocabulary": len(pupil.tokenizer),
        "steps": run.extra["phases"],
        "kept_step": run.extra["kept_step"],
        "miss": run.extra["miss"],
        "tokens_trained": run.cost.trained,
        "skills": {**measured, "pass@32": many["pass@32"]},
        "problems": {"skills": len(pupil.fresh), "pass@32": len(narrow)},
    }
