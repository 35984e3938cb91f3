"""Reinforcement learning of a critic inside a fixed actor: TRL's GRPOTrainer, rewarded by `rewards.py`.

Source: Critique-RL (2510.24320, algorithm 1). Stage I rewards the verdict; stage II starts from its model and rewards
the frozen actor's refinement, keeps the verdict with weight beta1, and holds the critic near stage I's by a KL term.
"""

from __future__ import annotations

import json
import statistics
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elenchus import conversation, problems
from elenchus.critics import model as critic_model
from elenchus.critics.drafts import Draft, drafts
from elenchus.critics.format import RIGHT, WRONG, Critique, parse
from elenchus.engines import Engine, Sampling
from elenchus.errors import UserError
from elenchus.job import Cost, Result
from elenchus.metrics.critique import first_error as first_error_scores
from elenchus.training import checkpoints, parallel, rows, sharding
from elenchus.training.loop import Run, fit
from elenchus.training.rewards import REFINING, Judged, reward, terms
from elenchus.training.settings import Training, cycle
from elenchus.training.text import plain_prompt

if TYPE_CHECKING:
    from datasets import Dataset


class Pool(Sequence):
    """Drafts in a file, each made when it is asked for."""

    def __init__(self, data: Dataset):
        self.data, self.correct = data, rows.column(data, "correct")

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, place: int) -> Draft:
        row = self.data[int(place)]
        given = row["solution_id"], problems.from_row(row), row["text"], tuple(row["steps"])
        return Draft(*given, row["correct"], row["first_error"])


def pool(work: Path, solutions: Result, known: Result) -> Pool:
    """Return the solutions that can be criticised, with their problems, in the table's order; UserError where there are none."""

    def encoded() -> Iterator[tuple[int, dict]]:
        found = 0
        for frame, own in rows.beside_problems(
            solutions, "solutions", known, "solved", lambda f: f["parsed"].astype(bool)
        ):
            for d in drafts(frame, own):
                found += 1
                asked = asdict(d.problem) | {"problem_id": d.problem.id, "meta": json.dumps(d.problem.meta)}
                said = {"solution_id": d.id, "text": d.text, "steps": d.steps, "correct": d.correct}
                yield 0, {**asked, **said, "first_error": d.first_error}
        if not found:
            raise UserError("0 solutions to criticise: no solution of the input could be parsed")

    texts = dict.fromkeys(("solution_id", "problem_id", "family", "prompt", "answer", "meta", "text"), "str")
    columns = {**texts, "steps": "list[str]", "correct": "bool", "first_error": "int"}
    return Pool(rows.written(work, "drafts", columns, encoded(), 0, "solutions to criticise"))


@dataclass
class Rewarder:
    """Rewards critiques, and keeps count: the actor's tokens and the exact checks spent.

    drafts: those that are criticised, by the name or place that a critique comes with. refinements, temperature, seed: how
    many the actor samples under each critique, and how. What it samples depends on the critique alone, not on when it is
    read.
    """

    drafts: Sequence[Draft] | Mapping[Any, Draft]
    weights: dict[str, float]
    form: str
    cost: Cost
    actor: Engine | None = None
    tokenizer: object = None  # the actor's
    max_tokens: int = 64
    refinements: int = 1
    temperature: float = 0.0
    seed: int = 0

    @property
    def labels(self) -> bool:
        """Return whether rewards need the drafts' exact labels."""
        return self.form == "repo" or bool(self.weights.keys() - {"format", "refinement"})

    def __call__(self, texts: list[str], places: list) -> tuple[list[float], dict[str, float]]:
        """Return the reward of each critique text of the draft at that place, and the means of all weighted terms."""
        about = [self.drafts[place] for place in places]
        read = [read_critique(d, text) for d, text in zip(about, texts, strict=True)]
        refined = self._refine(about, texts, read) if self.actor is not None else [0.0] * len(texts)
        judged = [
            Judged(c.parsed, c.verdict == verdict_of(d), c.first_error == d.first_error, d.correct, better)
            for d, c, better in zip(about, read, refined, strict=True)
        ]
        values = [terms(j) for j in judged]
        means = {f"terms/{name}": statistics.fmean(v[name] for v in values) for name in sorted(self.weights)}
        return [reward(j, self.weights, self.form) for j in judged], means

    def _asks(self, draft: Draft, said: Critique) -> bool:
        """Return whether some term reads what the actor makes of this critique."""
        if REFINING & self.weights.keys() == {"refinement_wrong_only"}:
            return said.parsed and said.verdict == WRONG and not draft.correct
        return said.parsed

    def _refine(self, about: list[Draft], texts: list[str], read: list[Critique]) -> list[float]:
        """Return the share of right ones among the actor's refinements under each critique; 0 where it is not asked."""
        prompts = {}
        for i, (d, text, c) in enumerate(zip(about, texts, read, strict=True)):
            if self._asks(d, c):
                messages = conversation.refine(d.problem.prompt, d.text, text)
                prompts.setdefault(conversation.render(self.tokenizer, messages, "assistant"), []).append(i)
        right = [0.0] * len(texts)
        before = self.actor.prompt_tokens, self.actor.sampled_tokens
        sampling = Sampling(temperature=self.temperature, max_tokens=self.max_tokens)
        samples = self.actor.sample(list(prompts), sampling, seed=self.seed, n=self.refinements)
        for places, own in zip(prompts.values(), samples, strict=True):
            draft = about[places[0]]
            share = statistics.fmean(right_answer(draft, sample.text) for sample in own)
            for i in places:
                right[i] = share
        self.cost.prompt += self.actor.prompt_tokens - before[0]
        self.cost.sampled += self.actor.sampled_tokens - before[1]
        self.cost.oracle_calls += len(prompts) * self.refinements
        return right


def right_answer(draft: Draft, text: str) -> bool:
    """Return whether `text` solves the draft's problem."""
    solution = draft.family.parse(draft.problem, text)
    return bool(solution.ok and draft.family.check_answer(draft.problem, solution.answer))


def read_critique(draft: Draft, text: str) -> Critique:
    """Return what `text` says about `draft`."""
    return parse(text.strip(), len(draft.steps), draft.family.error_types())


def verdict_of(draft: Draft) -> str:
    """Return the verdict that is right for `draft`: the answer checker's."""
    return RIGHT if draft.correct else WRONG


def prompts_in_order(correct: Sequence[bool], per_step: int, steps: int, balance: float | None, seed: int) -> array:
    """Return the drafts' places for all steps in order, `per_step` each: passes over the drafts, shuffled.

    correct: whether each draft's answer is right. balance: share of drafts with wrong answers in every step, None for as
    they come (the paper's pool). Raises UserError where a side that is asked for is empty.
    """
    if balance is None:
        return array("q", islice(cycle(len(correct), seed, "prompts"), steps * per_step))
    sides = {side: array("q", (i for i, right in enumerate(correct) if right == side)) for side in (False, True)}
    places, wrong = array("q"), round(balance * per_step)
    for side, share in ((False, wrong), (True, per_step - wrong)):
        if share and not sides[side]:
            name = "right" if side else "wrong"
            raise UserError(
                f"0 of {len(correct)} solutions are {name}; balance {balance} asks for {share} in every step"
            )
    draws = {side: cycle(len(own), seed, "prompts", side) if own else None for side, own in sides.items()}
    for _ in range(steps):
        places.extend(sides[False][next(draws[False])] for _ in range(wrong))
        places.extend(sides[True][next(draws[True])] for _ in range(per_step - wrong))
    return places


def train(
    model,
    tokenizer,
    rewarder: Rewarder,
    prompts: array,
    settings: Training,
    *,
    num_generations: int,
    num_iterations: int,
    beta: float,
    loss_type: str,
    scale_rewards: str,
    epsilon: float,
    temperature: float,
    max_tokens: int,
    validation: Callable[[], dict[str, float]] | None,
    validate_every: int,
    best_by: str,
    work: Path,
    seed: int,
    cost: Cost,
    progress: Callable[[float, float, str], None],
) -> Run:
    """Train `model` in place and return the run.

    prompts: see `prompts_in_order`; a step takes batch / num_generations of them. The KL reference (beta > 0) is the
    model as it was loaded from its folder. validation() measures the model as it is; with it, the weights with the
    highest `best_by` (the earliest of equals, the initial ones included) are what `model` holds at the end.
    """
    import numpy as np
    from trl import GRPOConfig, GRPOTrainer

    if loss_type == "bnpo" and parallel.world() > 1:
        raise UserError(
            f"loss_type: bnpo is a mean over the tokens of one pass, which {parallel.world()} processes would change; with "
            "several processes: dapo, grpo, dr_grpo, cispo or sapo"
        )
    per_step = settings.batch // num_generations
    used, met, places = np.unique(prompts, return_index=True, return_inverse=True)
    first_met = met // per_step  # the generation in which a draft is met first
    texts = ((0, {"prompt": _plain(tokenizer, rewarder.drafts[i]), "draft": i}) for i in used.tolist())
    data = rows.written(work, "prompts", {"prompt": "str", "draft": "int"}, texts, 0, "prompts")
    passed: dict[str, int] = {}  # tokens of the latest generation
    noted: dict[str, float] = {}

    def critique(prompts, completions, completion_ids, draft, **_) -> list[float]:
        with parallel.counted(rewarder.cost):
            rewards, means = rewarder(completions, draft)
        noted.update(parallel.mean(means))
        written, read = sum(map(len, completion_ids)), sum(len(tokenizer(p).input_ids) for p in prompts)
        written, read = parallel.total([written, read])
        cost.sampled += written
        cost.prompt += read // num_generations  # groups are whole: each prompt once, as engines count
        passed["tokens"] = written + read
        return rewards

    class CriticTrainer(GRPOTrainer):
        def _generate_single_turn(self, prompt_ids, *rest, **more):
            with same_draws(model, len(prompt_ids), temperature):
                return super()._generate_single_turn(prompt_ids, *rest, **more)

    def build(first: int, arguments: dict, common: dict) -> GRPOTrainer:
        own = data.select(places[first // num_iterations * per_step :])
        config = GRPOConfig(
            **arguments,
            num_generations=num_generations,
            num_iterations=num_iterations,
            steps_per_generation=arguments["gradient_accumulation_steps"],
            beta=beta,
            loss_type=loss_type,
            scale_rewards=scale_rewards,
            epsilon=epsilon,
            temperature=temperature,
            max_completion_length=max_tokens,
            shuffle_dataset=False,
        )
        return CriticTrainer(
            model=model, reward_funcs=[critique], args=config, train_dataset=own, processing_class=tokenizer, **common
        )

    def measure(run: Run) -> None:
        training = model.training
        model.eval()
        with sharding.gathered(model):
            scores = validation()
        model.train(training)
        for name, value in scores.items():
            run.note(f"validation/{name}", value)
        if "best" not in run.extra or scores[best_by] > run.extra["best"]:
            run.best = {k: v.clone() for k, v in checkpoints.weights(model).items()}
            run.extra |= {"best": scores[best_by], "best_step": run.step}

    def after_step(run: Run) -> None:
        for name, value in noted.items():
            run.note(name, value)
        noted.clear()
        cost.trained += passed["tokens"]
        generation, again = divmod(run.step - 1, num_iterations)
        if rewarder.labels and not again:
            cost.oracle_calls += int((first_met == generation).sum())
        if validation and (run.step == settings.steps or run.step % validate_every == 0):
            measure(run)

    def at_end(run: Run) -> None:
        if run.best is not None:
            checkpoints.put(model, run.best.items())
            run.note("best_step", run.extra["best_step"])

    return fit(
        model,
        settings,
        build,
        work=work,
        seed=seed,
        cost=cost,
        progress=progress,
        at_start=measure if validation else None,
        after_step=after_step,
        at_end=at_end,
        boundary=num_iterations,
    )


@contextmanager
def same_draws(model, rows: int, temperature: float) -> Iterator[None]:
    """Let `model.generate` inside draw for its `rows` rows what one process draws for them among the rows of all processes.

    torch draws a token as argmax(p / q) with q exponential, for a whole batch from one generator. Here all processes draw q
    for the rows of all, from a generator in the same state, and each takes its own. One process alone draws as ever.
    """
    if parallel.world() == 1:
        yield
        return
    import torch

    device = next(model.parameters()).device
    generator = torch.Generator(device)
    generator.set_state(torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state())
    at = slice(parallel.rank() * rows, (parallel.rank() + 1) * rows)

    def draw(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        every = torch.empty(parallel.world() * rows, scores.shape[1], device=device)
        q = every.exponential_(generator=generator)[at]
        chosen = ((scores.float() / temperature).softmax(-1) / q).argmax(-1, keepdim=True)
        return torch.full_like(scores, -torch.inf).scatter(1, chosen, 0.0)

    plain = model.generate
    model.generate = lambda *given, **more: plain(*given, logits_processor=[draw], **more)
    try:
        yield
    finally:
        del model.generate


def validator(model, tokenizer, held: list[Draft], max_tokens: int, cost: Cost) -> Callable[[], dict[str, float]]:
    """Return the function that measures the critic on `held`: its greedy critiques' first errors (ProcessBench). *Collective.*

    first_error_f1 is the harmonic mean of acc_error (errors found, on wrong solutions) and acc_correct (no false alarm,
    on right ones): RL can trade one for the other, so that each is in the history. Tokens and labels count as spent.
    """
    from elenchus.engines.transformers_engine import TransformersEngine

    if not held:
        raise UserError("0 solutions to validate on: no solution of the input could be parsed")
    labels = [d.first_error for d in held]
    sides = {"with an error": sum(y != -1 for y in labels), "without": sum(y == -1 for y in labels)}
    for name, count in sides.items():
        if not count:
            raise UserError(f"0 of {len(held)} validation solutions are {name}: the first-error F1 needs both")
    prompts = [critic_model.prompt(tokenizer, d) for d in held]
    engine = TransformersEngine((model, tokenizer))
    cost.oracle_calls += len(held)

    def texts(part: int) -> list[str]:
        engine.sampled_tokens = engine.prompt_tokens = 0
        own = engine.sample(prompts[part :: parallel.world()], Sampling(0.0, max_tokens), seed=0)
        cost.sampled += engine.sampled_tokens
        cost.prompt += engine.prompt_tokens
        return [sample.text for (sample,) in own]

    def validate() -> dict[str, float]:
        with parallel.counted(cost):
            written = parallel.shared(parallel.world(), texts)
        read = [read_critique(d, written[i % len(written)][i // len(written)]) for i, d in enumerate(held)]
        scores = first_error_scores(labels, [c.first_error for c in read])
        right = [c.verdict == verdict_of(d) for d, c in zip(held, read, strict=True)]
        return {
            "first_error_f1": scores.f1,
            "acc_error": scores.acc_error,
            "acc_correct": scores.acc_correct,
            "verdict": statistics.fmean(right),
            "parsed": statistics.fmean(c.parsed for c in read),
        }

    return validate


def _plain(tokenizer, draft: Draft) -> str:
    """Return the prompt for a critique of `draft` as TRL wants it, which adds special tokens itself."""
    return plain_prompt(tokenizer, conversation.critique(draft.problem.prompt, draft.text), "critic")
