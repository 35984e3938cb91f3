"""MMC: a critic that learns from divergent paths of search trees, and an actor that refines under it in turns."""

from __future__ import annotations

from pydantic import Field

from elenchus.config import RecipeParams, knobs
from elenchus.recipes import recipe

CRITICS = ("divergent", "unaided", "independent")


class Params(RecipeParams):
    """MMC: critiques from sibling paths, refinement in turns. Of the paper's sizes only 30 tokens a step are known."""

    searched: int = Field(150, ge=1, description="training problems whose paths are compared")
    search: knobs("search") = Field(default_factory=knobs("search"), description="trees (paper: 30 tokens a step)")
    samples: int = Field(8, ge=2, description="arm independent: solutions per problem in place of trees")
    pairs: knobs("contrast") = Field(default_factory=knobs("contrast"), description="wrong paths beside right ones")
    annotator: knobs("contrast") = Field(
        default_factory=knobs("contrast"), description="the annotator's faults where it does not see the right branch"
    )
    lessons: int = Field(0, ge=0, description="critiques that each critic learns from, at most; 0: all")
    critic: knobs("sft") = Field(default_factory=knobs("sft"), description="SFT of each arm's critic")
    refine: knobs("refine") = Field(default_factory=knobs("refine"), description="the actor's turns")
    turns: tuple[int, ...] = Field((1, 2, 4), min_length=1, description="turns after which is measured")
    test_samples: int = Field(2, ge=1, description="solutions per test problem that are refined")


@recipe(
    title="MMC: refinement under a critic that learned from divergent paths of search trees",
    arxiv="2504.11009",
    arms=("divergent", "unaided", "independent", "self_refine"),
)
def mmc(lab, p):
    """Search trees over the actor's steps hold right and wrong paths that share their beginning. For every wrong path the
    right path of the deepest common ancestor is found; the step where they part is taken for the first error, and an
    annotator that sees both branches says what is wrong there and how to mend it. These critiques, and ones that accept
    right paths, train a critic. At test time critic and actor take turns: the critic judges, the actor writes anew, until
    the critic is satisfied.

    Departures
    1. Chains of arithmetic in text take the place of images and questions about them.
    2. The annotator is an exact checker; without the right branch (arms unaided and independent) it misses errors, raises
       false alarms and names wrong fixes at rates of our choice, since what the paper's annotator misses is not known.
    3. The actor is the frozen seed model, which can already refine under critiques; the paper's actor training is left out.
    4. A step is one operation, where the paper cuts after 30 tokens.
    5. The arm unaided criticises the same wrong paths as divergent, independent those of separate samples; both are ours.
    6. One wrong to right ratio (at most two to one) for all critics; the paper does not say how many right paths it keeps.

    Findings
    1. Where paths part is the first error in about eight of ten wrong paths (0.67 to 0.92 by seed), not in all: a path may
       leave the right one by a step that is right, and err later.
    2. All three critics help the actor about as much, though the one from divergent siblings finds first errors better at
       every seed (0.75 against 0.67): the actor mends most solutions whose step is reworked in the critique, flawed ones too.
    3. One turn does nearly all; a second adds 0.003.
    4. With few lessons a critic forgets to accept right solutions: of 92, at one seed, instead of 120 (150 trees), it
       accepted 0.71 and made the actor worse. So 300 problems are searched.
    """
    train, test = lab.problems("train", p.searched), lab.problems("test")
    actor = lab.seed_model()
    trees = lab.search(actor, train, **p.search)
    samples = lab.sample(actor, train, n=p.samples, name="independent-paths")
    faulty = {**p.pairs, **p.annotator, "aided": False}
    sources = {
        "divergent": (trees, lab.contrast(trees, train, trees=trees, **p.pairs)),
        "unaided": (trees, lab.contrast(trees, train, trees=trees, name="contrasts-unaided", **faulty)),
        "independent": (samples, lab.contrast(samples, train, name="contrasts-independent", **faulty)),
    }
    critics = {"self_refine": actor}
    for arm in lab.arms(*CRITICS):
        paths, said = sources[arm]
        lab.measure(lab.evaluate("critic", train, solutions=paths, critiques=said), subject="annotator")
        lessons = lab.examples(train, solutions=paths, critiques=said, limit=p.lessons)
        critics[arm] = lab.sft(actor, [lessons], name="critic", **p.critic)

    drafts = lab.sample(actor, test, n=p.test_samples, name="test-drafts")
    lab.measure(lab.evaluate("policy", test, solutions=drafts))
    for arm in lab.arms(*critics):
        standing = drafts
        for turn in lab.rounds(max(p.turns)):
            said = lab.critique(critics[arm], standing, test, label=arm.replace("_", "-"), temperature=0.0)
            refined = lab.refine(actor, said, standing, test, **p.refine)
            if turn == 1:
                lab.measure(lab.evaluate("critic", test, solutions=standing, critiques=said), subject="critic")
            if turn in p.turns:
                judged = {"critiques": said, "refinements": refined}
                lab.measure(lab.evaluate("correction", test, solutions=standing, **judged))
            standing = lab.revised(refined, standing, test)
            if turn in p.turns:
                lab.measure(lab.evaluate("policy", test, solutions=standing))
    claims(lab, max(p.turns))


def claims(lab, last):
    """What the paper says; its tables were not at hand."""
    ours, gains = lab.at("divergent", round=last), "up to +15.9 % over models and benchmarks (abstract)"
    lab.claim("refinement in turns under the trained critic beats the actor alone", metric="pass@1", equal=(),
              better=ours, than=lab.at("shared"), paper=gains)  # fmt: skip
    lab.claim("refinement under the trained critic beats refinement under the actor's own critiques", metric="pass@1",
              better=ours, than=lab.at("self_refine", round=last), equal=(), paper=gains)  # fmt: skip
    paper = "the paper's idea; no ablation of it was at hand"
    for arm, what in (
        ("independent", "critiques from divergent siblings mend more than those from independent paths"),
        ("unaided", "critiques that saw the right branch mend more than those of the same wrong paths alone"),
    ):
        lab.claim(what, metric="pass@1", better=ours, than=lab.at(arm, round=last), paper=paper, equal=("trained",))
    lab.claim("a critic from divergent siblings finds first errors better than one from independent paths",
              metric="first_error_f1", better=lab.at("divergent", "critic", 1), than=lab.at("independent", "critic", 1),
              paper=paper, equal=("trained",))  # fmt: skip
    lab.claim("gains accumulate over the turns", metric="pass@1", better=ours, than=lab.at("divergent", round=1),
              paper="actor and critic alternate until the critic is satisfied (section on inference)", equal=())  # fmt: skip
    lab.claim("the step where the paths part is the first error in nine of ten wrong paths", metric="acc_error",
              better=lab.at("divergent", "annotator"), margin=0.9, paper="assumed by the pairing, not measured")  # fmt: skip
