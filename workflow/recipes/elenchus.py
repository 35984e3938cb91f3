"""The main job: from a seed model to a trained, measured critic and a self-improved policy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from elenchus.config import RecipeParams, Section, knobs
from elenchus.recipes import recipe


class Search(Section):
    """Trees by MCTS, whose nodes give step labels."""

    problems: int = Field(60, ge=1, description="training problems searched")
    settings: knobs("search") = Field(default_factory=knobs("search"), description="knobs of the stage kind `search`")
    labels: knobs("label") = Field(default_factory=knobs("label"), description="knobs of the stage kind `label`")
    head: knobs("process_head") = Field(
        default_factory=knobs("process_head"), description="training of the process head"
    )


class Critics(Section):
    """Critiques by several teachers with blind spots, and the critic trained on them."""

    drafts: int = Field(4, ge=1, description="solutions per training problem that are criticised")
    test_drafts: int = Field(4, ge=1, description="solutions per test problem on which critics are measured")
    teachers: dict[str, knobs("critique")] = Field(
        {"exact": knobs("critique")()}, min_length=1, description="oracle critics: name -> dials"
    )
    aggregate: knobs("aggregate") = Field(default_factory=knobs("aggregate"), description="MultiCritique aggregation")
    warmup: knobs("sft") = Field(default_factory=knobs("sft"), description="SFT warm-up")
    pairs: knobs("pairs") = Field(
        default_factory=knobs("pairs"), description="preference pairs and their revision filter"
    )
    revision: knobs("refine") = Field(default_factory=knobs("refine"), description="refinements under each critic")
    dpo: knobs("dpo") = Field(default_factory=knobs("dpo"), description="DPO on the pairs")
    stage_one: knobs("grpo") = Field(default_factory=knobs("grpo"), description="GRPO, reward: the verdict")
    stage_two: knobs("grpo") = Field(
        default_factory=knobs("grpo"), description="GRPO, reward: refinement, verdict kept, KL to stage one"
    )


class Rounds(Section):
    """Self-training rounds of the policy."""

    process_reward: Literal["critic", "process_head"] = Field(
        "critic",
        description="whose step scores the reward adds to the answer: the trained critic's, the process head's",
    )

    rounds: int = Field(3, ge=1, description="rounds (B-STaR: 9)")
    samples: int = Field(16, ge=1, description="solutions per training problem and round (B-STaR: 64)")
    steps: int = Field(40, ge=1, description="optimizer steps per round (B-STaR: 500)")
    sft: knobs("sft") = Field(default_factory=knobs("sft"), description="training of each round")
    temperature: float = Field(1.0, gt=0, description="online RFT's fixed sampling temperature (B-STaR: 1.0)")
    threshold: float = Field(0.0, description="online RFT's fixed reward threshold (B-STaR: 0.0)")
    dev: int = Field(80, ge=1, description="training problems on which settings are balanced (B-STaR: 600)")
    dev_samples: int = Field(16, ge=1, description="solutions per problem and temperature when balancing")
    balance: knobs("balance") = Field(default_factory=knobs("balance"), description="B-STaR's grid")
    selection: knobs("select") = Field(default_factory=knobs("select"), description="selection of training solutions")


class Params(RecipeParams):
    """The main job: critic by aggregation, SFT, DPO and two-stage GRPO; policy by B-STaR against online RFT."""

    search: Search = Field(default_factory=Search, description="search trees")
    critics: Critics = Field(default_factory=Critics, description="critic training")
    rounds: Rounds = Field(default_factory=Rounds, description="self-training")
    test_samples: int = Field(32, ge=2, description="solutions per test problem when a policy is measured")


@recipe(
    title="Elenchus: a critic trained by aggregated critiques, DPO and two-stage RL, and a policy that trains itself",
    arms=("critic", "b_star", "online_rft"),
)
def elenchus(lab, p):
    """A seed model solves, criticises and refines, each imperfectly. Search trees over its solutions give step labels and
    a process head. Four teachers with different blind spots criticise its solutions; their critiques are merged in units
    and train a critic: SFT warm-up, then DPO on pairs that the revision filter kept, or GRPO in two stages. The policy
    trains itself in rounds on its own solutions, selected by answer and process score, at settings that B-STaR balances
    anew each round, against online RFT at fixed settings.

    Departures
    1. Teachers are exact checkers with dials (miss rate, false alarms, blind spots) in place of GPT-4 and its like.
    2. B-STaR's process reward is the trained critic's probability that a step is good, the least over the steps. The
       process head (`process_reward: process_head`) learns from nodes of search trees, B-STaR's from eight roll-outs.
    3. DPO takes the place of MultiCritique's PPO with a reward model.
    4. GRPO takes the place of Critique-RL's RLOO; both centre the rewards of a group of critiques of one solution.
    5. B-STaR's balance score counts different right solutions; a chain has one, so all right samples count here,
       and equal solutions are not dropped from the selection: what is different would be what is wrong.
    6. Problems are modular chains and the model has 0.6 M parameters: sizes, rounds and steps are scaled to minutes.
    """
    train, validation, test = lab.problems("train"), lab.problems("validation"), lab.problems("test")
    lab.disjoint(train, validation, test)
    policy = lab.seed_model()
    head = process_head(lab, p.search, policy)
    critic = critics(lab, p.critics, policy, train, validation, test)

    test_solutions = lab.sample(policy, test, n=p.test_samples, name="test-solutions")
    lab.measure(lab.evaluate("policy", test, solutions=test_solutions))
    judges = {"best-of-n by process head": {"process_head": head}, "best-of-n by critic": {"critic": critic}}
    for subject, judge in judges.items():
        scores = lab.score(test_solutions, test, **judge, name=f"scores-{subject.split()[-1]}")
        lab.measure(lab.evaluate("policy", test, solutions=test_solutions, scores=scores), subject=subject)

    judge = {"critic": critic} if p.rounds.process_reward == "critic" else {"process_head": head}
    for arm in lab.arms("b_star", "online_rft"):
        self_training(lab, p.rounds, arm, policy, judge, train, test, p.test_samples)

    seed = {"arm": "shared", "round": 0, "subject": "policy"}
    for arm in ("b_star", "online_rft"):
        last = {"arm": arm, "round": p.rounds.rounds, "subject": "policy"}
        lab.compare(
            f"policy after {p.rounds.rounds} rounds of {arm} against the seed model", "pass@1", better=last, than=seed
        )
    for metric in ("pass@1", f"pass@{p.test_samples}"):
        b_star, online = ({"arm": a, "round": p.rounds.rounds, "subject": "policy"} for a in ("b_star", "online_rft"))
        lab.compare("B-STaR against online RFT, last round", metric, better=b_star, than=online)


def process_head(lab, p, policy):
    """Trees by MCTS over the policy's steps, step labels from their nodes, a process head trained on those."""
    problems = lab.problems("train", p.problems)
    trees = lab.search(policy, problems, **p.settings)
    lab.publish(
        "trees", trees, "nodes", "Search trees over the seed model's partial solutions, with visits and values."
    )
    labels = lab.label("tree", problems, trees=trees, **p.labels)
    return lab.process_head(policy, labels, problems, **p.head)


def critics(lab, p, policy, train, validation, test):
    """Return the trained critic: four teachers, one merged critique; warm-up, DPO, two-stage GRPO; all measured alike."""
    drafts = lab.sample(policy, train, n=p.drafts, name="drafts")
    taught = [lab.oracle_critique(name, drafts, train, **dials) for name, dials in p.teachers.items()]
    merged = lab.aggregate(taught, drafts, train, **p.aggregate)
    pairs = lab.pairs(taught, merged, drafts, train, [policy], **p.pairs)
    lab.publish(
        "critiques", merged, "critiques", "Critiques merged in units from four teachers with different blind spots."
    )
    lab.publish("pairs", pairs, "pairs", "Preference pairs between critiques, with the outcome of the revision filter.")

    with lab.arm("critic"):
        warm = lab.sft(policy, [lab.examples(train, solutions=drafts, critiques=merged)], name="warm-up", **p.warmup)
        dpo = lab.dpo(warm, pairs, **p.dpo)
        checks = lab.sample(policy, validation, n=4, name="validation-drafts")
        one = lab.grpo(warm, drafts, train, validation=(checks, validation), name="grpo-stage-one", **p.stage_one)
        two = lab.grpo(
            one, drafts, train, actor=policy, validation=(checks, validation), name="grpo-stage-two", **p.stage_two
        )

        held_out = lab.sample(policy, test, n=p.test_drafts, name="test-drafts")
        lab.measure(lab.evaluate("policy", test, solutions=held_out), subject="drafts")
        subjects = {"seed": policy, "warm-up": warm, "dpo": dpo, "grpo-stage-one": one, "grpo-stage-two": two}
        for subject, critic in subjects.items():
            said = lab.critique(critic, held_out, test, label=subject, temperature=0.0)
            revised = lab.refine(policy, said, held_out, test, name=f"refinements-{subject}", **p.revision)
            lab.measure(lab.evaluate("critic", test, solutions=held_out, critiques=said), subject=subject)
            lab.measure(
                lab.evaluate("correction", test, solutions=held_out, critiques=said, refinements=revised),
                subject=subject,
            )
            if subject == "grpo-stage-two":
                lab.publish(
                    "revisions", revised, "refinements", "Refinements of test solutions under the trained critic."
                )
    warm_up = {"arm": "critic", "round": 0, "subject": "warm-up"}
    for subject in ("dpo", "grpo-stage-one", "grpo-stage-two"):
        lab.compare(
            f"critic {subject} against its warm-up",
            "first_error_f1",
            better={**warm_up, "subject": subject},
            than=warm_up,
        )
    lab.compare(
        "critic grpo-stage-two against the seed model's own",
        "first_error_f1",
        better={**warm_up, "subject": "grpo-stage-two"},
        than={**warm_up, "subject": "seed"},
    )
    lab.compare(
        "refinement under critic grpo-stage-two against its warm-up",
        "acc2",
        better={**warm_up, "subject": "grpo-stage-two"},
        than=warm_up,
    )
    return two


def self_training(lab, p, arm, policy, judge, train, test, test_samples):
    """Rounds of sampling, selection and SFT, optimizer and schedule carried on; b_star re-balances its setting first."""
    dev = lab.problems("train", p.dev)
    previous = None
    for r in lab.rounds(p.rounds):
        setting = None
        if arm == "b_star":
            pool = lab.sample(
                policy, dev, n=p.dev_samples, temperature=p.balance.set_or_default("temperatures"), name="balance-pool"
            )
            scores = lab.score(pool, dev, **judge, name="balance-scores")
            setting = lab.balance(pool, scores, samples=p.samples, **p.balance)
        solutions = lab.sample(policy, train, n=p.samples, setting=setting, temperature=p.temperature, name="pool")
        scores = lab.score(solutions, train, **judge)
        chosen = lab.select(solutions, train, scores=scores, setting=setting, threshold=p.threshold, **p.selection)
        schedule = {"steps": p.steps, "total_steps": p.rounds * p.steps, "start_step": (r - 1) * p.steps}
        previous = policy = lab.sft(policy, [chosen], previous=previous, name="policy", **schedule, **p.sft)
        solutions = lab.sample(policy, test, n=test_samples, name="test-solutions")
        lab.measure(lab.evaluate("policy", test, solutions=solutions))
