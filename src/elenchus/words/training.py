"""Words for training and for the rounds of self-training: scores, settings, selections, examples."""

from __future__ import annotations

from collections.abc import Sequence

from elenchus.graph import Stage
from elenchus.words.base import Words


class Training(Words):
    """Trainers, and what rounds of self-training are made of."""

    def sft(
        self, model: Stage, examples: Sequence[Stage], *, previous: Stage | None = None, name: str = "sft", **params
    ) -> Stage:
        """Return `model` fine-tuned on examples; `previous` hands on its optimizer (B-STaR's online RFT)."""
        return self._train("sft", name, params, model=model, examples=examples, previous=previous)

    def splice(
        self, solutions: Stage, problems: Stage, *, critiques: Stage | None = None, name: str = "dialogues", **params
    ) -> Stage:
        """Return dialogues to learn, of episodes: good ones, and revision trajectories cut where `critiques` say."""
        return self.stage("splice", name, params, solutions=solutions, problems=problems, critiques=critiques)

    def sft_turns(
        self, model: Stage, examples: Sequence[Stage], *, previous: Stage | None = None, name: str = "sft", **params
    ) -> Stage:
        """Return `model` fine-tuned on dialogues, the loss on their learned turns only."""
        return self._train("sft_turns", name, params, model=model, examples=examples, previous=previous)

    def dpo(self, model: Stage, pairs: Stage, name: str = "dpo", **params) -> Stage:
        """Return `model` trained by DPO on preference pairs."""
        return self._train("dpo", name, params, model=model, pairs=pairs)

    def step_dpo(
        self, model: Stage, pairs: Stage, *, reference: Stage | None = None, name: str = "step-dpo", **params
    ) -> Stage:
        """Return `model` trained by conservative DPO on step pairs; `reference`: None for the model at the start."""
        return self._train("step_dpo", name, params, model=model, pairs=pairs, reference=reference)

    def grpo(
        self,
        critic: Stage,
        solutions: Stage,
        problems: Stage,
        *,
        actor: Stage | None = None,
        validation: tuple[Stage, Stage] | None = None,
        name: str = "grpo",
        **params,
    ) -> Stage:
        """Return the critic trained by GRPO on composed rewards; `validation` is (solutions, their problems)."""
        solved, asked = validation or (None, None)
        inputs = {"critic": critic, "actor": actor, "solutions": solutions, "problems": problems}
        return self._train("grpo", name, params, **inputs, validation=solved, validation_problems=asked)

    def process_head(self, model: Stage, labels: Stage, problems: Stage, name: str = "process-head", **params) -> Stage:
        """Return a process-reward / value head trained on step labels."""
        return self._train("process_head", name, params, model=model, labels=labels, problems=problems)

    def score(
        self,
        solutions: Stage,
        problems: Stage,
        *,
        process_head: Stage | None = None,
        critic: Stage | None = None,
        name: str = "scores",
        **params,
    ) -> Stage:
        """Return step scores of solutions by a process head or a critic."""
        return self.stage(
            "score",
            name,
            self._engine(params, samples=critic is not None),
            solutions=solutions,
            problems=problems,
            process_head=process_head,
            critic=critic,
        )

    def balance(self, solutions: Stage, scores: Stage | None, name: str = "balance", **params) -> Stage:
        """Return B-STaR's setting (temperature, threshold): the one with the highest balance score on the grid."""
        return self.stage("balance", name, params, solutions=solutions, scores=scores)

    def select(
        self,
        solutions: Stage,
        problems: Stage,
        *,
        scores: Stage | None = None,
        setting: Stage | None = None,
        name: str = "selected",
        **params,
    ) -> Stage:
        """Return the training examples that pass the reward threshold."""
        return self.stage(
            "select", name, params, solutions=solutions, problems=problems, scores=scores, setting=setting
        )

    def examples(
        self,
        problems: Stage,
        *,
        name: str = "examples",
        solutions: Stage | None = None,
        critiques: Stage | None = None,
        refinements: Stage | None = None,
        pairs: Stage | None = None,
        **params,
    ) -> Stage:
        """Return training examples made of solutions, critiques, refinements, pairs, or exact solutions."""
        given = {"solutions": solutions, "critiques": critiques, "refinements": refinements, "pairs": pairs}
        return self.stage("examples", name, params, problems=problems, **given)
