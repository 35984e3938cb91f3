"""Words for criticism: critiques, refinements, preferences between critiques, games about single steps."""

from __future__ import annotations

from collections.abc import Sequence

from elenchus import problems as families
from elenchus.critics import oracle
from elenchus.graph import Stage
from elenchus.words.base import Words


class Judging(Words):
    """Critiques and refinements, their aggregation and pairs; single steps, their critics and games."""

    def oracle_critique(
        self, critic: str, solutions: Stage, problems: Stage, name: str | None = None, **dials
    ) -> Stage:
        """Return critiques by an exact checker with dials (miss rate, false alarms, blind spots, wrong fixes).

        blind: error types; those of other families than the problems' are passed over.
        """
        params = {"source": "oracle", "critic": critic, **dials}
        if dials.get("blind") and problems.params["family"] in families.names():
            params["blind"] = oracle.blind_spots(dials["blind"], problems.params["family"])
        return self.stage("critique", name or f"critiques-{critic}", params, solutions=solutions, problems=problems)

    def critique(
        self, critic: Stage, solutions: Stage, problems: Stage, *, label: str, name: str | None = None, **params
    ) -> Stage:
        """Return critiques of `solutions` written by a model; `label` is the critic's name in tables."""
        params = self._sampling(
            {"source": "model", "critic": label, "max_tokens": 2 * self.config.engine.max_tokens, **params}
        )
        return self.stage(
            "critique", name or f"critiques-{label}", params, critic=critic, solutions=solutions, problems=problems
        )

    def served_critique(
        self, solutions: Stage, problems: Stage, *, label: str, model: str, name: str | None = None, **params
    ) -> Stage:
        """Return critiques written by `model` behind the server of params.yaml's section `server`.

        params: those of the stage kind; `api`, `tokenizer` and `request` are the server engine's (elenchus.engines.settings).
        """
        own = {key: params.pop(key) for key in ("api", "tokenizer", "request") if key in params}
        given = {"source": "server", "critic": label, "max_tokens": 2 * self.config.engine.max_tokens, **params}
        given = {
            "batch_size": self.config.engine.batch_size,
            **given,
            "engine": {"kind": "openai", "model": model, **own},
        }
        return self.stage("critique", name or f"critiques-{label}", given, solutions=solutions, problems=problems)

    def refine(
        self, reviser: Stage, critiques: Stage, solutions: Stage, problems: Stage, name: str = "refinements", **params
    ) -> Stage:
        """Return refinements of `solutions` by `reviser` under `critiques`."""
        return self.stage(
            "refine",
            name,
            self._sampling(params),
            reviser=reviser,
            critiques=critiques,
            solutions=solutions,
            problems=problems,
        )

    def revised(self, refinements: Stage, solutions: Stage, problems: Stage, name: str = "revised") -> Stage:
        """Return the solutions that stand after a turn of refinement, for another turn or a measurement."""
        return self.stage("revised", name, refinements=refinements, solutions=solutions, problems=problems)

    def contrast(
        self, solutions: Stage, problems: Stage, *, trees: Stage | None = None, name: str = "contrasts", **params
    ) -> Stage:
        """Return critiques of wrong paths beside right ones: of the same tree where `trees` are given."""
        return self.stage("contrast", name, params, trees=trees, solutions=solutions, problems=problems)

    def aggregate(
        self, critiques: Sequence[Stage], solutions: Stage, problems: Stage, name: str = "aggregated", **params
    ) -> Stage:
        """Return one critique per solution, merged in units from several critics."""
        return self.stage("aggregate", name, params, critiques=critiques, solutions=solutions, problems=problems)

    def pairs(
        self,
        critiques: Sequence[Stage],
        units: Stage | None,
        solutions: Stage,
        problems: Stage,
        revisers: Sequence[Stage],
        name: str = "pairs",
        **params,
    ) -> Stage:
        """Return preference pairs between critiques, filtered by whether the better one leads to better refinements."""
        params = self._sampling(params, samples=bool(revisers))
        return self.stage(
            "pairs",
            name,
            params,
            critiques=critiques,
            units=units,
            solutions=solutions,
            problems=problems,
            revisers=revisers,
        )

    def cases(self, solutions: Stage, problems: Stage, name: str = "cases", **params) -> Stage:
        """Return single steps to judge, as many wrong as right, and the lessons that they are for either player."""
        return self.stage("cases", name, params, solutions=solutions, problems=problems)

    def games(
        self,
        generator: Stage | None,
        critic: Stage,
        solutions: Stage,
        problems: Stage,
        *,
        solver: Stage | None = None,
        name: str = "games",
        **params,
    ) -> Stage:
        """Return the paid moves of a generator that spoils right steps and a critic; generator None: by program."""
        given = {"generator": generator, "critic": critic, "solver": solver}
        params = self._engine(params)
        return self.stage("games", name, params, solutions=solutions, problems=problems, **given)

    def offline_rl(
        self, model: Stage, moves: Sequence[Stage], examples: Sequence[Stage], name: str = "offline-rl", **params
    ) -> Stage:
        """Return a player trained on the moves of games, with round-0 examples mixed in."""
        return self._train("offline_rl", name, params, model=model, moves=moves, examples=examples)

    def judge(
        self, critic: Stage, cases: Sequence[Stage], problems: Stage, name: str = "judgements", **params
    ) -> Stage:
        """Return a step critic's judgements of single steps, measured."""
        params = self._engine(params)
        return self.stage("judge", name, params, critic=critic, cases=cases, problems=problems)

    def guided_search(
        self, actor: Stage, critic: Stage, problems: Stage, name: str = "guided-solutions", **params
    ) -> Stage:
        """Return solutions written step by step, a step that the critic rejects sampled again."""
        params = self._engine(params)
        return self.stage("guided_search", name, params, actor=actor, critic=critic, problems=problems)
