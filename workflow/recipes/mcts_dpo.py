"""MCTS-DPO: step-level preferences from search trees, gathered and learned from in rounds."""

from __future__ import annotations

from pydantic import Field

from elenchus.config import RecipeParams, Section, knobs
from elenchus.recipes import recipe

SETTINGS = {"select": "puct", "backup": "rewards", "forward": True, "prior": "probability"}
REWARDS = {  # what a new state is worth: O + C as in the paper, and either alone
    "outcome and self-evaluation": {},
    "outcome": {"value": "outcome"},
    "self-evaluation": {"exact": False},
}


class Instance(Section):
    """The instance-level baseline: whole solutions, right against wrong."""

    samples: int = Field(8, ge=2, description="solutions per problem, to spend what a tree does")
    temperature: float = Field(1.0, gt=0, description="of these solutions")
    pairs: knobs("step_pairs") = Field(default_factory=knobs("step_pairs"), description="pairs of right and wrong ones")
    batch: int = Field(32, ge=1, description="pairs in one optimizer step, to train on as many tokens as step pairs")
    learning_rate: float = Field(3e-5, gt=0, description="chosen for these pairs on validation problems")


class Params(RecipeParams):
    """MCTS-DPO: direct preference optimisation of steps, on pairs of siblings in trees that the policy itself grew."""

    rounds: int = Field(3, ge=1, description="rounds of trees and updates (paper: trees anew for every update)")
    per_round: int = Field(150, ge=1, description="training problems of a round, others in each")
    search: knobs("search") = Field(
        default_factory=knobs("search"),
        description="trees (paper: 5 iterations a step, b1 5, b2 3, depth 4; code: 64, 2, 2)",
    )
    pairs: knobs("step_pairs") = Field(
        default_factory=knobs("step_pairs"), description="pairs of siblings (paper: at most 8 a tree)"
    )
    dpo: knobs("step_dpo") = Field(
        default_factory=knobs("step_dpo"), description="training on pairs (paper: beta 0.1, batch 32, rate 1e-6)"
    )
    instance: Instance = Field(default_factory=Instance, description="the instance-level baseline")
    sft: knobs("sft") = Field(default_factory=knobs("sft"), description="training on the trees' right paths alone")
    test_samples: int = Field(8, ge=1, description="solutions per test problem when a policy is measured")


@recipe(
    title="MCTS-DPO: Monte Carlo tree search boosts reasoning via iterative preference learning",
    arxiv="2405.00451",
    arms=("step_online", "step_offline", "step_unsmoothed", "instance_online", "sft"),
)
def mcts_dpo(lab, p):
    """The policy grows trees over reasoning steps, led by PUCT, its own step probabilities and a reward for every new state:
    the outcome of finished ones (+1, -1) plus a self-evaluation in [0, 1]. The root moves down one step at a time while the
    tree is kept; along this path, at every depth, the child of the highest Q is preferred to the sibling of the lowest. Only
    trees that end in a right answer teach. The policy learns from the pairs by conservative DPO, which trusts a pair less the
    more visits the rejected step got, tied to the initial model throughout. The next round's trees come from the updated
    policy; arms differ in this, in what is paired, or in that there are no pairs.

    Departures
    1. The self-evaluation (the policy's probability of "correct" in a multiple-choice question that shows a reference
       solution) is an exact checker of the partial solution whose word is turned round at random (`search.flip`);
       `search.value: self` is the model's own critique. Its code's discount with depth is left out.
    2. Trees come anew every round of `dpo.steps` updates, not for every update; the optimizer starts anew with them.
    3. Iterations, breadths and depth are the laptop's. Candidates from the reference solution (w/ G.T.) are not offered.
    4. An instance-level pair is a right and a wrong solution of one problem, sampled at the cost of its tree.
    5. `sft` learns from the committed paths of its own trees that end right; the paper's is the initial model.
    6. Batches differ over arms, so that they train on as many tokens; the learning rate is a small model's.

    Findings
    1. Supervised fine-tuning on the trees' right paths ends higher than preferences (0.97 against 0.91). A chain has one
       right path, which it is told word for word; a preference only lifts it over a sibling. The learning rates are each
       arm's best on validation problems, and a higher one (1e-4) makes DPO unlearn solving within a round.
    2. Pairs of whole solutions do not teach the form: 0.11 of the solutions stay out of form, against 0.03 after step-level
       pairs and 0.01 after fine-tuning. That is most of what they lack.
    3. Trees of the initial policy go stale: their policy gets worse from round 2 to 3 at seed 0 (0.86 to 0.81), and better
       by little at the others. A policy's own trees get cheaper as it gets better.
    """
    test, seed = lab.problems("test"), lab.seed_model()
    asked = [lab.problems("train", p.per_round, draw=r) for r in range(1, p.rounds + 1)]
    lab.disjoint(asked[0], test)
    search = {**SETTINGS, **p.search}
    measure(lab, p, seed, test)

    for subject, reward in REWARDS.items():
        trees = lab.search(seed, asked[0], **{**search, **reward})
        pairs = lab.step_pairs(asked[0], trees=trees, **p.pairs)
        evaluation = lab.evaluate("step_pairs", asked[0], solutions=trees, step_pairs=pairs)
        lab.measure(evaluation, subject=f"pairs by {subject}")

    for arm in lab.arms(*lab.recipe.arms):
        policy = seed
        for r in lab.rounds(p.rounds):
            problems = asked[r - 1]
            if arm == "instance_online":
                drawn = {"n": p.instance.samples, "temperature": p.instance.temperature}
                solutions = lab.sample(policy, problems, name="pool", **drawn)
                pairs = lab.step_pairs(problems, solutions=solutions, **p.instance.pairs)
                own = {"batch": p.instance.batch, "learning_rate": p.instance.learning_rate}
                policy = lab.step_dpo(policy, pairs, reference=seed, **{**p.dpo, **own})
            elif arm == "sft":
                trees = lab.search(policy, problems, **search)
                paths = lab.examples(problems, solutions=trees, keep="right")
                policy = lab.sft(policy, [paths], **p.sft)
            else:
                trees = lab.search(seed if arm == "step_offline" else policy, problems, **search)
                unsmoothed = {"smoothing": "none"} if arm == "step_unsmoothed" else {}
                pairs = lab.step_pairs(problems, trees=trees, **{**p.pairs, **unsmoothed})
                policy = lab.step_dpo(policy, pairs, reference=seed, **p.dpo)
            measure(lab, p, policy, test)
    claims(lab, p.rounds)


def measure(lab, p, policy, test):
    """Measure a policy on the test problems."""
    solutions = lab.sample(policy, test, n=p.test_samples, name="test-solutions")
    lab.measure(lab.evaluate("policy", test, solutions=solutions))


def claims(lab, last):
    """State what the paper claims, of the last round's policies and of the pairs."""
    step = lab.at("step_online", round=last)

    def policies(statement, paper, than, **facts):
        lab.claim(statement, paper=paper, metric="pass@1", better=step, than=lab.at(than, round=last), **facts)

    policies(
        "Learning online from step-level pairs of search trees beats learning online from pairs of whole solutions.",
        "81.8 against 79.7 on GSM8K, 34.7 against 32.9 on MATH, Mistral-7B (table of ablations)",
        "instance_online",
    )
    policies(
        "Trees of the current policy teach more than as many trees of the initial policy.",
        "81.8 against 79.9 on GSM8K, 34.7 against 31.9 on MATH, Mistral-7B",
        "step_offline",
        equal=("trained",),  # as many trees: those of a better policy end sooner, and cost less
    )
    policies(
        "Step-level preferences teach more than supervised fine-tuning on right solutions alone.",
        "81.8 against 75.9 on GSM8K, 34.7 against 28.9 on MATH, Mistral-7B (the initial, supervised model)",
        "sft",
    )
    policies(
        "Under noisy self-evaluation, label smoothing from visits makes DPO on step-level pairs better.",
        "conservative DPO is used throughout, with a from visit counts (section 2.2)",
        "step_unsmoothed",
    )
    both, *single = (lab.at("shared", f"pairs by {subject}") for subject in REWARDS)
    for one, name in zip(single, ("the outcome", "self-evaluation"), strict=True):
        lab.claim(
            f"Outcome and self-evaluation together prefer the truly better step more often than {name} alone.",
            paper="both rewards add up in the paper's search (equation 3; ablation of the self-evaluation)",
            metric="step_pair_accuracy",
            better=both,
            than=one,
            equal=(),  # as many trees
        )
