"""RefCritic: a critic trained by reinforcement learning on its verdict and on what refinements make of its feedback."""

from typing import Literal

from pydantic import Field

from elenchus.config import RecipeParams, knobs
from elenchus.recipes import recipe
from elenchus.training.rewards import dual

SCHEDULES = {"dual": (0, 1), "dual_constant": (1, 1), "judgement": (0, 0)}  # are refinements paid, by phase


class Params(RecipeParams):
    """RefCritic: dual rewards, the verdict's and the refinement's."""

    drafts: int = Field(3, ge=1, description="solutions per training problem")
    test_drafts: int = Field(4, ge=1, description="solutions per test problem on which critics are measured")
    teacher: knobs("critique") = Field(
        default_factory=knobs("critique"), description="the oracle that writes cold-start critiques: dials, how many"
    )
    cold_start: knobs("examples") = Field(
        default_factory=knobs("examples"),
        description="filter of those critiques (paper: verdict right; where the solution is wrong, refinement succeeds)",
    )
    sft: knobs("sft") = Field(default_factory=knobs("sft"), description="cold-start SFT (paper: settings not stated)")
    rl: knobs("grpo") = Field(
        default_factory=knobs("grpo"), description="what all arms share; steps are those of one phase, refinements is m"
    )
    refinement_weight: float = Field(1.0, gt=0, description="lambda where refinements are paid (paper: 1)")
    rr_scope: Literal["wrong_only", "always"] = Field(
        "wrong_only", description="where refinements are paid: wrong solutions that are called wrong, or everywhere"
    )
    revision: knobs("refine") = Field(
        default_factory=knobs("refine"), description="refinements of test solutions (paper: of those called wrong)"
    )
    votes: tuple[int, ...] = Field((8, 16, 32), min_length=2, description="N of majority votes (paper: 8 to 64)")


@recipe(
    title="RefCritic: training long chain-of-thought critic models with refinement feedback",
    arxiv="2507.15024",
    arms=(*SCHEDULES, "sft", "base"),
)
def refcritic(lab, p):
    """A critic judges a solution and says how to mend it; fine-tuned on filtered critiques alone, it writes fluently but
    judges shallowly. Reinforcement learning therefore pays two rule-based rewards: R_c, is the verdict on the solution
    right, and R_r, the share of m sampled refinements under the critique that are right, as
    R = (R_c + lambda R_r) / (1 + lambda). The schedule has two phases, lambda = 0 and then lambda = 1 (arm `dual`); the
    arm `judgement` stays at 0 and `dual_constant` at 1, for as many steps. Labels are those of whole solutions, yet the
    steps at which errors are located are measured too. Such a critic also filters majority votes: solutions that it
    calls wrong do not vote.

    Departures
    1. Critic and policy start from one small seed model, in place of Qwen2.5-14B-Instruct and R1-Distill-Qwen-14B.
    2. Cold-start critiques come from an exact checker with dials (misses, false alarms, wrong fixes) in place of a
       long-CoT model, and pass the paper's filter; the refinement that has to succeed is one greedy one.
    3. Thought and feedback are one text: each step is worked anew and judged, and the policy reads all of it. A chain's
       later steps are judged as continued from the draft's own, so that the answer is handed over in few critiques.
    4. R_r counts where a wrong solution is called wrong and equals R_c elsewhere (`rr_scope`); the paper does not say.
    5. 2 x 16 GRPO steps of 128 critiques at 1e-4, 8 a solution, and m = 4; the paper's lengths and rates are not published.
    6. The policy's refinements under one text are the same samples whenever that text is met again.
    7. First errors are read off the critique's form; the paper has a second model extract them.
    8. Filtered votes fall back to all samples where the critic calls all wrong, over subsets of the largest N.

    Findings
    1. RL adds little to the filtered cold start (0.741 against 0.731 right after refinement): SFT, 10 steps on critiques
       that an all but exact checker wrote and the filter passed, leaves little to learn. The paper's cold start leaves
       more, since a long-CoT model wrote its critiques.
    2. Paying refinements from the first step (`dual_constant`) ends highest at every seed, 0.753 over all. The schedule
       spends half its steps on verdicts that the critic mostly gets right already (0.88).
    3. Solutions out of form (nearly half of the wrong ones at seeds 3 and 4) cannot be judged, which bounds all arms.
    4. The critic's filter is where it pays: +0.07 in votes of 8, +0.08 in votes of 32.
    """
    train, validation, test = (lab.problems(s) for s in ("train", "validation", "test"))
    lab.disjoint(train, validation, test)
    policy = lab.seed_model()
    drafts = lab.sample(policy, train, n=p.drafts, name="drafts")
    held_out = lab.sample(policy, test, n=p.test_drafts, name="test-drafts")
    pool = lab.sample(policy, test, n=max(p.votes), name="votes")

    with lab.arm("sft"):
        taught = lab.oracle_critique("teacher", drafts, train, **p.teacher)
        tried = lab.refine(policy, taught, drafts, train, name="filter-refinements", when="wrong")
        given = {"solutions": drafts, "critiques": taught, "refinements": tried}
        kept = lab.examples(train, of="critiques", name="cold-start", **given, **p.cold_start)
        cold = lab.sft(policy, [kept], name="cold-start-sft", **p.sft)
    critics = {"base": policy, "sft": cold}
    for arm, phases in SCHEDULES.items():
        critic = cold
        for phase, paid in enumerate(phases, 1):
            terms = dual(p.refinement_weight * paid, p.rr_scope)
            with lab.arm(arm):
                critic = lab.grpo(critic, drafts, train, actor=policy, name=f"phase-{phase}", **p.rl, terms=terms)
        critics[arm] = critic
    for arm, critic in critics.items():
        with lab.arm(arm):
            said = lab.critique(critic, held_out, test, label="critic", temperature=0.0)
            lab.measure_critiques(said, policy, held_out, test, **p.revision)
    with lab.arm("dual"):
        said = lab.critique(critics["dual"], pool, test, label="critic", name="critiques-votes", temperature=0.0)
        vote = lab.evaluate("vote", test, solutions=pool, critiques=said, ks=p.votes)
        lab.measure(vote, subject="vote")
    claims(lab, min(p.votes), max(p.votes))


def claims(lab, few: int, many: int):
    """State the paper's claims. Equal steps are equal tokens trained on; `judgement` does without refinements."""
    at, trained, vote = (lambda arm: lab.at(arm, "critic")), {"equal": ("trained",)}, lab.at("dual", "vote")
    for statement, paper, metric, better, than, how in (
        ("Dual-reward RL leads to better refinements than SFT on filtered critiques",
         "RL after cold-start SFT, whose gain over self-critique is small (AIME24, AIME25, OlympiadBench; main table)",
         "acc2", "dual", "sft", {}),
        ("Paying refinements too leads to better refinements than paying the verdict alone, at equal steps",
         "lambda = 1 above lambda = 0 (main table)", "acc2", "dual", "judgement", trained),
        ("Paying refinements too costs next to no verdict accuracy: at most two points",
         "lambda = 1 about equal to lambda = 0 (main table)", "verdict_accuracy", "dual", "judgement",
         {**trained, "margin": -0.02}),
        ("Trained on labels of whole solutions, the critic locates first errors better than after SFT",
         "above step-supervised critics on ProcessBench", "first_error_f1", "dual", "sft", {}),
        ("Dual-reward RL leads to better refinements than the untrained model's own critiques",
         "+6.8 (Qwen2.5-14B-Instruct) and +7.2 (R1-Distill-14B) points on AIME25", "acc2", "dual", "base", {}),
        ("SFT on filtered critiques leads to better refinements than the untrained model's own critiques",
         "a small gain (the paper's motivating finding)", "acc2", "sft", "base", {}),
    ):  # fmt: skip
        lab.claim(statement, paper=paper, metric=metric, better=at(better), than=at(than), **{"equal": ()} | how)
    paper = "filtered votes above plain ones, the more so the more samples (N from 8 to 64)"
    for n in (few, many):
        lab.claim(
            f"A majority vote of {n} without the solutions that the critic calls wrong beats the plain one",
            paper=paper, metric=f"filtered_gain@{n}", better=vote,
        )  # fmt: skip
    lab.claim(
        f"The critic's filter gains more in votes of {many} than in votes of {few}",
        paper=paper, metric=f"filtered_growth@{many}-{few}", better=vote,
    )  # fmt: skip
    lab.compare("the schedule against lambda = 1 throughout", "acc2", better=at("dual"), than=at("dual_constant"))
