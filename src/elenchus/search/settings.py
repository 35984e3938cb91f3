"""How trees grow: every constant named, with the values of the literature."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from elenchus.engines import Sampling
from elenchus.search.tree import mark
from elenchus.stages import StageParams


class Search(StageParams):
    """The settings of a tree search. Symbols are those of ReST-MCTS* (2406.03816), where it has one."""

    simulations: int = Field(16, ge=1, description="T: rounds per tree (ReST-MCTS*: 50 to make data, 100 to answer)")
    token_budget: int = Field(0, ge=0, description="sampled tokens after which a tree gets no more rounds; 0: no bound")
    breadth: int = Field(3, ge=1, description="b: steps sampled to expand a node")
    root_breadth: int = Field(0, ge=0, description="as many at the root (MCTS-DPO's b1); 0: breadth")
    max_depth: int = Field(12, ge=1, description="a partial solution of so many steps that has not ended is given up")
    select: Literal["uct", "puct"] = Field(
        "uct", description="uct: V + c sqrt(2 ln N' / N); puct: V + c P sqrt(N')/(1+N)"
    )
    c: float = Field(0.5, ge=0, description="exploration (ReST-MCTS*: 0.5, 0.4, 0.7; MCTS-DPO: 1, with puct)")
    unvisited: float = Field(
        0.9, ge=0, description="uct: INF, added to an unvisited child's value (ReST-MCTS*: 0.8 to 1)"
    )
    backup: Literal["mean", "max", "weighted", "rewards"] = Field(
        "weighted",
        description="weighted: by visits, as ReST-MCTS*; rewards: sums of step rewards, as MCTS-DPO (`Tree.back_up`)",
    )
    forward: bool = Field(
        False, description="a round goes on from the leaf, expanding all on its way, to a finished node (MCTS-DPO)"
    )
    commit: int = Field(
        0,
        ge=0,
        description="rounds before the root moves to a child, until it is a finished one, in place of `simulations` "
        "(MCTS-DPO: 5; its code: 64); 0: the root stays",
    )
    commit_first: int = Field(4, ge=1, description="as many times more before the first move (MCTS-DPO's code: 4)")
    value: Literal["rollouts", "outcome", "value_model", "self", "checker"] = Field(
        "rollouts",
        description="value of an unfinished node: roll-outs' share of right answers; 0; a value model's score; the "
        "actor's own critique (least probability of a step's being good); an exact checker with noise",
    )
    flip: float = Field(
        0.0, ge=0, le=1, description="checker: probability that its word on a partial solution is turned round"
    )
    exact: bool = Field(
        True, description="finished nodes are worth their outcome (oracle calls); false: what the evaluator says"
    )
    rollouts: int = Field(1, ge=1, description="completions by the policy that value a node")
    lookahead: int = Field(
        0, ge=0, description="m: greedy steps looked ahead by value_model or self (ReST-MCTS*: 1 to 3)"
    )
    roll_branch: int = Field(1, ge=1, description="steps sampled at each of them (ReST-MCTS*: 1)")
    alpha: float = Field(0.5, ge=0, le=1, description="weight of the best value that look-ahead saw (ReST-MCTS*: 0.5)")
    end_gate: float = Field(
        0.0,
        ge=0,
        le=1,
        description="a finished node worth this much ends its tree's search (ReST-MCTS*: 0.8); 0: none does",
    )
    prior: Literal["count", "probability"] = Field(
        "count", description="P: share of the samples, or exp(log-probability / tokens ** prior_length)"
    )
    prior_length: float = Field(1.0, ge=0, description="lambda (MCTS-DPO's code: 1.25)")
    leaves_per_round: int = Field(1, ge=1, description="leaves of one tree in a round, kept apart by virtual losses")
    temperature: float = Field(0.7, ge=0, description="sampling temperature (ReST-MCTS*: 0.7)")
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus of the sampling distribution")
    step_tokens: int = Field(24, ge=1, description="tokens of one step at most")
    solution_tokens: int = Field(64, ge=1, description="tokens of a roll-out or a critique at most")

    @property
    def evaluated(self) -> bool:
        """Return whether an evaluator is asked for values."""
        return self.value in ("value_model", "self", "checker")

    def sampling(self, whole: bool = False) -> Sampling:
        """Return how one step is sampled, or (whole) all that is left of a solution."""
        if whole:
            return Sampling(self.temperature, self.solution_tokens, self.top_p)
        stops = tuple(mark(k) for k in range(1, self.max_depth + 2))
        return Sampling(self.temperature, self.step_tokens, self.top_p, stop=stops)


REST_MCTS = Search(simulations=50, breadth=3, c=0.5, value="value_model", exact=False, lookahead=1, alpha=0.5)
MCTS_DPO = Search(commit=64, breadth=2, root_breadth=2, max_depth=4, select="puct", c=1.0, backup="rewards", forward=True,
                  value="self", prior="probability", prior_length=1.25, temperature=1.0)  # fmt: skip
