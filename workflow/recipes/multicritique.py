"""MultiCritique (2410.15287): critics trained on the merged critiques of several critics, then on validated preferences."""

from __future__ import annotations

from pydantic import Field

from elenchus.config import RecipeParams, Section, knobs
from elenchus.recipes import recipe

TEACHERS = ("careful", "lenient", "nervous", "sloppy")
MERGES = {"aggregated": "units", "naive_union": "union", "majority": "majority"}  # arm -> rule of stage kind aggregate


class Teachers(Section):
    """The four critics, exact checkers with dials; blind spots are disjoint, the best critic's is the rarest error."""

    careful: knobs("critique") = Field(default_factory=knobs("critique"), description="stands for GPT-4, the best")
    lenient: knobs("critique") = Field(default_factory=knobs("critique"), description="stands for Claude-1-instant")
    nervous: knobs("critique") = Field(default_factory=knobs("critique"), description="stands for Qwen-1.5-72B-Chat")
    sloppy: knobs("critique") = Field(default_factory=knobs("critique"), description="stands for InternLM2-20B-Chat")


class Params(RecipeParams):
    """MultiCritique: SFT on critiques merged in units from four critics, then preferences that revisions confirm."""

    drafts: int = Field(3, ge=1, description="solutions per training problem that are criticised (paper: 3)")
    test_drafts: int = Field(4, ge=1, description="solutions per test problem on which every critic is measured")
    teachers: Teachers = Field(
        default_factory=Teachers, description="the critics whose critiques are merged (paper: 4)"
    )
    aggregate: knobs("aggregate") = Field(
        default_factory=knobs("aggregate"), description="the meta-judge (paper: GPT-4, seven categories of units)"
    )
    sft: knobs("sft") = Field(
        default_factory=knobs("sft"), description="training of every SFT critic, the same for all"
    )
    pairs: knobs("pairs") = Field(
        default_factory=knobs("pairs"),
        description="pairs by severity and their filter (paper: 4 revisers x 8 revisions)",
    )
    dpo: knobs("dpo") = Field(default_factory=knobs("dpo"), description="training on pairs (paper: reward model, PPO)")


@recipe(
    title="MultiCritique: training language models to critique with multi-agent feedback",
    arxiv="2410.15287",
    arms=(*MERGES, *(f"single_{name}" for name in TEACHERS), "dpo_filtered", "dpo_unfiltered"),
)
def multicritique(lab, p):
    """Four critics criticise each solution in small units, and a meta-judge puts every unit into a quality category with
    a severity. Units judged sound are merged into one critique a solution, on which a critic is fine-tuned: what one
    critic never sees, another does, and what one invents, the judge drops. Critiques of one solution are then ranked by
    accumulated severity, and a pair is kept only if revisions under the better critique really come out better. The
    critic is trained further on these preferences. Arms of fine-tuning differ in their critiques alone: the same
    solutions, one critique each, the same steps; the two arms of preference training differ in the filter alone.

    Departures
    1. Critics and the meta-judge are exact checkers with dials and noise, in place of GPT-4 and three other models.
    2. DPO with a likelihood term takes the place of a reward model with focal ranking loss (gamma 2) and PPO.
    3. The filter revises with one model, the seed model, and asks the exact answer checker (paper: four models of 7B,
       eight revisions each, scored by a reward model).
    4. The seven categories and severities are ours, flawed units are dropped and never repaired, and every step has a
       unit, right ones too.
    5. Solutions are not tiered by quality, and critics get no crucial information (task, criteria, reference answer).
    6. Pairs are between the four critics' critiques; the two of each solution whose severities differ most.

    Findings
    1. Merging helps most where teachers differ in what they cannot see: the merged critiques' critic is above each single
       one's at every seed but one (seed 3: 0.65 against the careful one's 0.67).
    2. All units of all critics together are worse than the best critic alone: false alarms add up.
    3. Nine pairs of ten are in the right order before the filter, since teachers here seldom prefer the worse one; so the
       filter has little to take out, and unfiltered preferences do no harm.
    """
    train, test = lab.problems("train"), lab.problems("test")
    lab.disjoint(train, test)
    policy = lab.seed_model()
    drafts = lab.sample(policy, train, n=p.drafts, name="drafts")
    held_out = lab.sample(policy, test, n=p.test_drafts, name="held-out-drafts")
    taught = {name: lab.oracle_critique(name, drafts, train, **getattr(p.teachers, name)) for name in TEACHERS}

    def measure(critic, label):
        said = lab.critique(critic, held_out, test, label=label.replace("_", "-"), temperature=0.0)
        lab.measure(lab.evaluate("critic", test, solutions=held_out, critiques=said), subject="critic")

    def fine_tune(critiques):
        examples = lab.examples(train, solutions=drafts, critiques=critiques)
        return lab.sft(policy, [examples], name="sft-critic", **p.sft)

    measure(policy, "seed")
    merged, critics = {}, {}
    for arm in lab.arms(*MERGES):
        rule = {**p.aggregate, "method": MERGES[arm]}
        merged[arm] = lab.aggregate(list(taught.values()), drafts, train, **rule)
        critics[arm] = fine_tune(merged[arm])
        measure(critics[arm], arm)
    for arm in lab.arms(*(f"single_{name}" for name in TEACHERS)):
        measure(fine_tune(taught[arm.removeprefix("single_")]), arm)

    pairs = lab.pairs(list(taught.values()), merged["aggregated"], drafts, train, [policy], **p.pairs)
    for arm in lab.arms("dpo_filtered", "dpo_unfiltered"):
        filtered = arm == "dpo_filtered"
        measure(lab.dpo(critics["aggregated"], pairs, **{**p.dpo, "use_filtered": filtered}), arm)
        labels = lab.evaluate("pairs", train, solutions=drafts, pairs=pairs, filtered=filtered)
        lab.measure(labels, subject="pairs")
    claims(lab)


def claims(lab):
    """What the paper says, its main statement first."""
    critic = {arm: lab.at(arm, "critic") for arm in lab.recipe.arms}
    merged, careful = critic["aggregated"], critic["single_careful"]
    f1 = {"metric": "first_error_f1"}
    for name, says in (
        ("careful", "GPT-4, the best of them"),
        ("lenient", "Claude-1-instant, the worst of them"),
        ("nervous", "Qwen-1.5-72B-Chat"),
        ("sloppy", "InternLM2-20B-Chat"),
    ):
        statement = (
            f"a critic fine-tuned on merged critiques beats one fine-tuned on the {name} critic's, at equal size"
        )
        paper = f"CriticEval ablation: critics fine-tuned on one model's critiques fall below; here {says}"
        lab.claim(statement, paper=paper, better=merged, than=critic[f"single_{name}"], **f1)
    method = "units are judged one by one before they are merged (the paper's pipeline; direction only, no value)"
    for arm, says in (("naive_union", "all units of all critics"), ("majority", "whole critiques by majority")):
        statement = f"a critic fine-tuned on merged units that were judged beats one fine-tuned on {says}"
        lab.claim(statement, paper=method, better=merged, than=critic[arm], **f1)
    statement = "merged critiques teach a critic to find more of the wrong steps than the best single critic's do"
    lab.claim(statement, paper=method, metric="unit_recall", better=merged, than=careful)
    statement = "they do so without a loss of precision of 0.02 or more"
    lab.claim(statement, paper=method, metric="unit_precision", better=merged, than=careful, margin=-0.02)

    statement = "pairs that revisions confirm are in the right order more often than all pairs"
    confirmed = {"better": lab.at("dpo_filtered", "pairs"), "than": lab.at("dpo_unfiltered", "pairs")}
    paper = "the filter leaves 19.7k pairs whose better critique leads to better revisions (direction only)"
    lab.claim(statement, paper=paper, metric="pair_accuracy", **confirmed)
    filtered, unfiltered = critic["dpo_filtered"], critic["dpo_unfiltered"]
    statement = "training on unfiltered preferences makes the fine-tuned critic worse"
    paper = "CriticEval F_sub 4.84 without the filter, 5.71 after fine-tuning alone (ablation)"
    lab.claim(statement, paper=paper, better=unfiltered, than=merged, direction="lower", equal=(), **f1)
    statement = "training on filtered preferences improves the fine-tuned critic"
    paper = "CriticEval, subjective feedback: +19.8 by fine-tuning, +6.3 more by RL (main results)"
    lab.claim(statement, paper=paper, better=filtered, than=merged, equal=(), **f1)
