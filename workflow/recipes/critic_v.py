"""Critic-V (2411.18203): a critic trained by DPO on critiques of answers with injected errors, ranked by a rule."""

from __future__ import annotations

from pydantic import Field

from elenchus.config import RecipeParams, Section, knobs
from elenchus.recipes import recipe


class Critics(Section):
    """Three critics of different strength, exact checkers with dials."""

    strong: knobs("critique") = Field(default_factory=knobs("critique"), description="stands for GPT-4o-mini")
    middling: knobs("critique") = Field(default_factory=knobs("critique"), description="stands for GLM-4V-9B")
    weak: knobs("critique") = Field(default_factory=knobs("critique"), description="stands for MiniCPM-V-2.6")


class Params(RecipeParams):
    """Critic-V: errors injected into true answers, three critiques of each ranked by a rule, DPO, one round of revision."""

    inject: knobs("inject") = Field(
        default_factory=knobs("inject"), description="training answers with errors (paper: 1 to 5 each, none clean)"
    )
    critics: Critics = Field(
        default_factory=Critics, description="whose critiques of an answer are ranked (paper: three)"
    )
    pairs: knobs("pairs") = Field(
        default_factory=knobs("pairs"),
        description="Jaccard + alpha * judge's score (paper: alpha 0.1, no margin, all pairs)",
    )
    dpo: knobs("dpo") = Field(default_factory=knobs("dpo"), description="training on pairs (paper: beta 0.1)")
    sft: knobs("sft") = Field(
        default_factory=knobs("sft"),
        description="training on the chosen critiques: twice the examples a step, since a pair has two",
    )
    test_drafts: int = Field(4, ge=1, description="solutions per test problem that are criticised and revised")
    test_injected: int = Field(2, ge=1, description="answers per test problem with injected errors")
    revision: knobs("refine") = Field(
        default_factory=knobs("refine"), description="the reasoner's revision (paper: one round, temperature about 0)"
    )


@recipe(
    title="Critic-V: VLM critics help catch VLM errors in multimodal reasoning",
    arxiv="2411.18203",
    arms=("dpo", "dpo_judge_only", "sft", "self_refine", "no_critic"),
)
def critic_v(lab, p):
    """A frozen reasoner answers, a critic says in words what is wrong, and the reasoner answers once more with the critique
    before it. The critic learns without people: errors are injected into true answers, so that what a critique should find
    is known. Three critiques of each such answer are scored by a rule, the Jaccard index of found and injected errors plus
    a tenth of a judge's score; the index punishes nit-picking, which judges forgive. Every pair of critiques with
    different scores trains the critic by DPO. It is held against fine-tuning on the chosen critiques, pairs ranked by the
    judge alone, the untuned model as its own critic, and a second attempt without a critique.

    Departures
    1. Chains of text stand for images and questions, steps of a solution for the details of an answer.
    2. The three critics are exact checkers that miss errors, raise false alarms and err in fixes, in place of other models.
    3. The judge's score is exact with noise, round(10 (recall - false positive rate / 2) + N(0, 1)) clipped to 0..10;
       found and injected errors are matched exactly by step, both by a language model in the paper.
    4. Readable critiques that find nothing are ranked too; unreadable ones are not.
    5. DPO with a likelihood term (weight 1) and a learning rate of 1e-4, chosen on validation problems: without
       the term, small critics unlearn to read.
    6. A solution that the critic calls right is not revised; without a critic, every solution is revised under a critique
       that calls each step good.

    Findings
    1. Training works: on injected errors that the critic never saw, its findings agree better on every seed (F1 0.87 to
       0.93). What the reasoner gains by it is small and differs by seed (+0.09 to +0.00): at seeds 3 and 4 nearly half of the
       wrong solutions are out of form, which no critic can judge, and even the best one mends only 0.08 of all.
    2. Imitating the chosen critiques does as well as or better than preferring them (0.75 against 0.72 right after
       revision). They mostly come from the strong critic, which is nearly exact and says things in one way only:
       everything is there to be copied, while a preference only says which of two is better.
    3. The judge's ranking forgives nit-picking, but only at seed 0 does the critic learn it (it clears 0.55 of the right
       solutions; with the Jaccard index 0.98). At the other seeds both rankings lead to the same critic.
    """
    train, test = lab.problems("train"), lab.problems("test")
    lab.disjoint(train, test)
    policy = lab.seed_model()
    answers = lab.inject(train, **p.inject)
    critiques = [
        lab.oracle_critique(name, answers, train, **getattr(p.critics, name)) for name in ("strong", "middling", "weak")
    ]
    drafts = lab.sample(policy, test, n=p.test_drafts, name="test-drafts")
    injected = lab.inject(test, n=p.test_injected, name="test-injected-errors")

    def measure(critiques, subject="critic", **revision):
        lab.measure(lab.evaluate("critic", test, solutions=drafts, critiques=critiques), subject=subject)
        revised = lab.refine(policy, critiques, drafts, test, **{**p.revision, **revision})
        given = {"solutions": drafts, "critiques": critiques, "refinements": revised}
        lab.measure(lab.evaluate("correction", test, **given), subject=subject)

    def test_critic(critic, label):
        measure(lab.critique(critic, drafts, test, label=label, temperature=0.0))
        said = lab.critique(critic, injected, test, label=label, temperature=0.0, name=f"critiques-{label}-injected")
        lab.measure(lab.evaluate("critic", test, solutions=injected, critiques=said), subject="injected errors")

    ranked = {
        arm: lab.pairs(critiques, None, answers, train, [], name=f"pairs-{rule}", **{**p.pairs, "rule": rule})
        for arm, rule in (("dpo", "jaccard"), ("dpo_judge_only", "judge"))
    }
    for arm in lab.arms(*ranked):
        test_critic(lab.dpo(policy, ranked[arm], **p.dpo), arm.replace("_", "-"))
        labels = lab.evaluate("pairs", train, solutions=answers, pairs=ranked[arm])
        lab.measure(labels, subject="pairs")
    with lab.arm("sft"):
        chosen = lab.examples(train, pairs=ranked["dpo"], name="chosen-critiques")
        test_critic(lab.sft(policy, [chosen], **p.sft), "sft")
    with lab.arm("self_refine"):
        test_critic(policy, "seed")
    with lab.arm("no_critic"):
        measure(lab.oracle_critique("silent", drafts, test, miss_rate=1.0), when="always")
    claims(lab)


def claims(lab):
    """What the paper says, its main statement first."""
    critic = {arm: lab.at(arm, "critic") for arm in lab.recipe.arms}
    values = (
        "MathVista, Qwen2-VL-7B: 73.2 with the critic, 63.4 by Self-Refine, 61.8 by a second prompt alone, 61.4 before"
    )
    for better, than, statement in (
        (
            "dpo",
            "self_refine",
            "more answers are right after revision under the trained critic than under the model's own",
        ),
        (
            "self_refine",
            "no_critic",
            "revision under the model's own critiques beats a second attempt without a critique",
        ),
        ("dpo", "no_critic", "revision under the trained critic beats a second attempt without a critique"),
    ):
        sides = {"better": critic[better], "than": critic[than]}
        lab.claim(statement, paper=values, metric="acc2", equal=(), **sides)
    statement = "training on preferences gains more by revision than fine-tuning on the chosen critiques, at equal cost"
    paper = "the critic is trained by DPO, section 2; the paper prints no value for fine-tuning"
    lab.claim(statement, paper=paper, metric="delta", better=critic["dpo"], than=critic["sft"])
    paper = "the Jaccard index is there against nit-picking, which judges forgive, section 2 (direction only)"
    for metric, says in (("unit_precision", "flags fewer right steps"), ("acc_correct", "clears more sound solutions")):
        statement = (
            f"a critic trained on pairs ranked with the Jaccard index {says} than one on the judge's ranking alone"
        )
        lab.claim(statement, paper=paper, metric=metric, better=critic["dpo"], than=critic["dpo_judge_only"])
    statement = "training makes the critic's findings agree better with errors injected into answers that it never saw"
    paper = "the reward is this agreement, and DPO is to raise it, section 2 (direction only)"
    sides = {"better": lab.at("dpo", "injected errors"), "than": lab.at("self_refine", "injected errors")}
    lab.claim(statement, paper=paper, metric="unit_f1", equal=(), **sides)
