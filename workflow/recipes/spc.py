"""SPC: a step critic that evolves in adversarial games against a generator of subtle errors."""

from __future__ import annotations

from pydantic import Field

from elenchus.config import RecipeParams, knobs
from elenchus.recipes import recipe

ORIGINALS = ("cleared", "alarmed")  # outcomes of games about right steps


class Params(RecipeParams):
    """SPC: self-play of a sneaky generator and a step critic."""

    samples: int = Field(2, ge=1, description="solutions per training problem whose right steps are attacked")
    lessons: knobs("cases") = Field(default_factory=knobs("cases"), description="round 0 of the critic (paper: 21.8 k)")
    sneaks: knobs("cases") = Field(default_factory=knobs("cases"), description="round 0 of the generator")
    critic: knobs("sft") = Field(default_factory=knobs("sft"), description="SFT of the critic, round 0")
    generator: knobs("sft") = Field(default_factory=knobs("sft"), description="SFT of the generator, round 0")
    games: knobs("games") = Field(default_factory=knobs("games"), description="the games of one round")
    offline: knobs("offline_rl") = Field(
        default_factory=knobs("offline_rl"), description="offline RL of either player (paper: 3 epochs, batch 64)"
    )
    more: knobs("sft") = Field(
        default_factory=knobs("sft"),
        description="arm critic_sft: further SFT, for as many tokens as self-play trains on",
    )
    search: knobs("guided_search") = Field(
        default_factory=knobs("guided_search"), description="search under the critic"
    )
    test_samples: int = Field(4, ge=3, description="solutions per test problem: natural errors, searches, votes")
    test_games: int = Field(400, ge=1, description="games on test problems: generated errors")


@recipe(
    title="SPC: evolving a step critic in adversarial games",
    arxiv="2504.19162",
    arms=("spc", "critic_sft", "random_corruptions", "no_balancing", "unpaired"),
)
def spc(lab, p):
    """Two copies of one model play a game about single steps: a sneaky generator replaces a right step of a solution by a
    subtle error, a critic says whether the step is right. The winner earns 1, the loser -1; a replacement that is no error
    loses, and the critic also has to clear the step that was replaced. Both learn offline from their paid moves by a
    clipped sequence-level loss, with round-0 examples mixed in. To keep the game balanced, the second round pits the
    evolved generator against the weaker first critic, and the final critic learns from both rounds. At test time the
    critic guides a solver: a step that it rejects is sampled again.

    Departures
    1. A proposal's validity is checked by the exact step checker (`games.validity: rollouts` asks the solver, as the
       paper does).
    2. Round 0 teaches the generator errors by program, of five named types, in place of a strong model's rewritings, and
       the critic 120 steps of the seed model (paper: 21.8 k) with an exact checker's units, faults dialled in: with more
       of them, or cleaner ones, imitation alone solves the task.
    3. The generator's "sneaky" reasoning is the name of the error type alone; the critic's is one unit of a critique.
    4. One solver (the seed model) writes all solutions; its own errors on test problems are the natural ones.
    5. Rounds are of 800 games and the model has 0.6 M parameters; the learning rate is 1e-4 (paper: 2e-6).
    6. The arm random_corruptions is ours: errors by program in place of the generator's, as many games as in two rounds.

    Findings
    1. Self-play makes the critic better, but a generator is hardly needed for it: steps spoilt at random teach at least as
       much (the difference is -0.015), and further imitation most of it. A wrong step of a chain is a slip in one number;
       there is little to be sneaky about, and the generator's wins hardly rise over its round.
    2. What is needed are the right steps beside the wrong ones: without them the critic clears 0.31 fewer right steps.
    3. The critic pays at test time: a search that asks it step by step ends 0.08 above single samples, and 0.07 above
       majority votes of as many.
    """
    train, test = lab.problems("train"), lab.problems("test")
    solver = lab.seed_model()
    pool = lab.sample(solver, train, n=p.samples, name="pool")
    lessons = lab.cases(pool, train, name="critic-lessons", **p.lessons)
    sneaks = lab.cases(pool, train, name="generator-lessons", source="corrupted", teach="generator", **p.sneaks)
    c0 = lab.sft(solver, [lessons], name="critic-0", **p.critic)
    s0 = lab.sft(solver, [sneaks], name="generator-0", **p.generator)
    referee = solver if p.games.validity == "rollouts" else None

    def play(generator, critic, name, problems=train, solutions=pool, **more):
        return lab.games(generator, critic, solutions, problems, solver=referee, name=name, **{**p.games, **more})

    def learn(model, rounds, examples, name, **more):
        return lab.offline_rl(model, rounds, [examples], name=name, **{**p.offline, **more})

    with lab.arm("spc"):
        first = play(s0, c0, "games-1")
        c1 = learn(c0, [first], lessons, "critic-1")
        s1 = learn(s0, [first], sneaks, "generator-1", player="generator")
        second = play(s1, c0, "games-2")
        c2 = learn(c0, [first, second], lessons, "critic-2")
    with lab.arm("no_balancing"):
        newest = play(s1, c1, "games-newest")
        unbalanced = learn(c0, [first, newest], lessons, "critic-2")
    with lab.arm("unpaired"):
        unpaired = learn(c0, [first, second], lessons, "critic-2", without=ORIGINALS)
    with lab.arm("random_corruptions"):
        random = play(None, c0, "games-random", games=2 * p.games.set_or_default("games"))
        programmed = learn(c0, [random], lessons, "critic-2")
    with lab.arm("critic_sft"):
        longer = lab.sft(c0, [lessons], name="critic-longer", **p.more)

    written = lab.sample(solver, test, n=p.test_samples, name="test-solutions")
    natural = lab.cases(written, test, name="natural-errors")
    generated = play(s1, c0, "test-games", test, written, games=p.test_games)
    critics = [
        ("spc", 0, c0),
        ("spc", 1, c1),
        ("spc", 2, c2),
        ("no_balancing", 2, unbalanced),
        ("unpaired", 2, unpaired),
    ]
    critics += [("random_corruptions", 2, programmed), ("critic_sft", 2, longer)]
    for arm, r, critic in critics:
        with lab.arm(arm):
            lab.measure(lab.judge(critic, [natural], test), subject="critic", round=r)
            lab.measure(lab.judge(critic, [generated], test), subject="critic on sneaks", round=r)
    lab.measure(first, subject="generator against critic 0", arm="spc", round=1)
    lab.measure(second, subject="generator against critic 0", arm="spc", round=2)
    lab.measure(newest, subject="generator against critic 1", arm="no_balancing", round=2)
    with lab.arm("spc"):
        lab.measure(lab.evaluate("policy", test, solutions=written), round=0)
        found = lab.guided_search(solver, c2, test, n=p.test_samples, **p.search)
        lab.measure(lab.evaluate("policy", test, solutions=found), subject="guided search", round=2)
    claims(lab, p.test_samples)


def claims(lab, samples):
    """What the paper says, on steps of the seed model's own solutions."""
    final, start = lab.at("spc", "critic", 2), lab.at("spc", "critic", 0)
    metric = "step_balanced_accuracy"
    lab.claim("self-play makes the step critic better without new labels", metric=metric, better=final, than=start,
              paper="average recall on ProcessBench 70.8 -> 77.7 (table 1)", equal=())  # fmt: skip
    lab.claim("self-play beats as much further imitation", metric=metric, better=final, equal=("trained",),
              than=lab.at("critic_sft", "critic", 2), paper="no such arm; round 0 alone 70.8 against 77.7 (table 1)")  # fmt: skip
    lab.claim("the first round already helps", metric=metric, better=lab.at("spc", "critic", 1), than=start, equal=(),
              paper="average recall on ProcessBench 70.8 -> 76.8 (table 1)")  # fmt: skip
    lab.claim("the second round is not worse than the first", metric=metric, better=final, margin=-0.01, equal=(),
              than=lab.at("spc", "critic", 1), paper="average recall on ProcessBench 76.8 -> 77.7 (table 1)")  # fmt: skip
    lab.claim("newest against newest makes a worse critic than the balancing game", metric=metric, better=final,
              than=lab.at("no_balancing", "critic", 2), equal=("sampled",),
              paper="ProcessBench 77.7 against 72.0 without balancing (figure 3)")  # fmt: skip
    lab.claim("without the right steps beside the wrong ones the critic clears fewer right steps", better=final,
              metric="step_recall_right", than=lab.at("unpaired", "critic", 2),
              paper="average recall 77.7 against 71.6 without pairs and balancing (figure 3)")  # fmt: skip
    lab.claim("the generator's errors teach more than random ones", metric=metric, better=final, equal=(),
              than=lab.at("random_corruptions", "critic", 2), paper="no such arm; the game is the paper's point")  # fmt: skip
    generator = "generator against critic 0"
    lab.claim("the trained generator wins more often against the first critic", metric="sneaks_won", equal=(),
              better=lab.at("spc", generator, 2), than=lab.at("spc", generator, 1),
              paper="win rate against C0 20.6 -> 32.5 (figure 3)")  # fmt: skip
    guided = lab.at("spc", "guided search", 2)
    lab.claim("search under the critic beats a single sample", metric="pass@1", better=guided, than=lab.at("spc"),
              equal=(), paper="Llama-3.1-8B on MATH500: 47.0 -> 54.5 (table 3)")  # fmt: skip
    lab.claim("the critic adds to self-consistency", metric=f"majority@{samples}", better=guided, than=lab.at("spc"),
              equal=(), paper="Llama-3.1-8B on MATH500: 55.6 -> 62.8 (table 3)")  # fmt: skip
