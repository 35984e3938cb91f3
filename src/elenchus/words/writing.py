"""Words for what is asked and what policies write: problems, models, solutions, episodes, trees."""

from __future__ import annotations

from elenchus import seeds
from elenchus.config import Pretrained
from elenchus.graph import Stage
from elenchus.words.base import Words


class Writing(Words):
    """Problems, models, solutions, episodes in worlds, search trees and what comes of them."""

    def problems(self, split: str, n: int | None = None, *, draw: int = 0) -> Stage:
        """Return the problems of a split ("train", "validation", "test"); n defaults to params.yaml's number.

        draw: another number, other problems of the split (a few may be the same).
        """
        p = self.config.problems
        seed = seeds.derive("draw", p.seed, draw) if draw else p.seed
        params = {"family": p.family, "options": p.options, "split": split, "n": n or getattr(p, split), "seed": seed}
        return self.stage("problems", f"problems-{split}", params)

    def disjoint(self, *splits: Stage) -> Stage:
        """Return the stage that proves that no problem is in two of `splits`."""
        return self.stage("disjoint", "disjoint", problems=splits)

    def seed_model(self) -> Stage:
        """Return the model that everything starts from: solves, criticises and refines, each imperfectly.

        Trained from nothing by the workflow, or pretrained where params.yaml names a base_model.
        """
        base = self.config.base_model
        if base.name:
            params = {"name": base.name, "revision": base.revision, "template": "roles"}
            model = self.stage("pretrained", "base-model", params)
            return self._taught(model, base) if base.lessons else model
        p = self.config.problems
        return self.stage(
            "seed_model", "seed-model", {"family": p.family, "options": p.options, **self.config.seed_model}
        )

    def _taught(self, model: Stage, base: Pretrained) -> Stage:
        """Return a pretrained model that has read exact solutions, and exact critiques of right and wrong ones."""
        p = self.config.problems
        drawn = {"split": "train", "n": base.lessons, "seed": seeds.derive("draw", p.seed, "lessons")}
        asked = self.stage("problems", "lessons", {"family": p.family, "options": p.options, **drawn})
        spoilt = self.stage("inject", "lessons-solutions", {"clean": 0.5, "most": 2}, problems=asked)
        told = self.stage("critique", "lessons-critiques", {"source": "oracle"}, solutions=spoilt, problems=asked)
        read = {"problems": asked, "solutions": spoilt, "critiques": told}
        examples = [
            self.stage("examples", "lessons-solving", {"of": "references"}, problems=asked),
            self.stage("examples", "lessons-criticising", {"of": "critiques"}, **read),
        ]
        return self._train("sft", "base-model-taught", base.sft, model=model, examples=examples)

    def sample(
        self, actor: Stage, problems: Stage, *, setting: Stage | None = None, name: str = "solutions", **params
    ) -> Stage:
        """Return n solutions per problem by `actor`; `setting` (a balance stage) overrides the temperature."""
        return self.stage("sample", name, self._sampling(params), actor=actor, problems=problems, setting=setting)

    def act(self, actor: Stage, problems: Stage, *, name: str = "episodes", **params) -> Stage:
        """Return solutions that `actor` acts out in the problems' worlds, n per problem and branches off failed ones."""
        params = self._engine(params)
        return self.stage("act", name, params, actor=actor, problems=problems)

    def search(
        self, actor: Stage, problems: Stage, *, value_model: Stage | None = None, name: str = "trees", **params
    ) -> Stage:
        """Return search trees over partial solutions."""
        return self.stage(
            "search",
            name,
            self._engine(params),
            actor=actor,
            problems=problems,
            value_model=value_model,
        )

    def label(
        self,
        source: str,
        problems: Stage,
        *,
        trees: Stage | None = None,
        solutions: Stage | None = None,
        actor: Stage | None = None,
        name: str = "step-labels",
        **params,
    ) -> Stage:
        """Return step labels from the exact checker, from search trees or from roll-outs."""
        params = {"source": source, **params}
        return self.stage(
            "label",
            name,
            self._engine(params) if source == "rollouts" else params,
            problems=problems,
            trees=trees,
            solutions=solutions,
            actor=actor,
        )

    def inject(
        self, problems: Stage, *, solutions: Stage | None = None, name: str = "injected-errors", **params
    ) -> Stage:
        """Return solutions with errors put in on purpose: exact ones, or the sound ones of `solutions`; and step labels."""
        return self.stage("inject", name, params, problems=problems, solutions=solutions)

    def step_pairs(
        self,
        problems: Stage,
        *,
        trees: Stage | None = None,
        solutions: Stage | None = None,
        name="step-pairs",
        **params,
    ) -> Stage:
        """Return preference pairs: of sibling steps of `trees` whose root moved, or of right and wrong `solutions`."""
        return self.stage(
            "step_pairs", name, params, problems=problems, trees=trees, solutions=trees if trees else solutions
        )

    def answer(
        self, solutions: Stage, problems: Stage, *, scores: Stage | None = None, name: str = "answers", **params
    ) -> Stage:
        """Return one solution per problem, chosen of `solutions` without a look at the outcome."""
        return self.stage("answer", name, params, solutions=solutions, problems=problems, scores=scores)
