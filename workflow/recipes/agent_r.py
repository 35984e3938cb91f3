"""Agent-R: agents that learn to notice a mistake in the middle of an episode, and to recover from it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from elenchus.config import RecipeParams, knobs
from elenchus.recipes import recipe


class Params(RecipeParams):
    """Agent-R: revision trajectories in a world of crafting, against direct revision, good ones only and an exact cut."""

    alphas: tuple[float, ...] = Field(
        (0.5, 0.7, 1.0), min_length=1, description="least score of a good path, one for each round (paper: 0.5, 0.7, 1)"
    )
    beta: float = Field(0.2, ge=0, le=1, description="score gap of a good and a bad path (paper: 0.2)")
    episodes: int = Field(4, ge=1, description="episodes per task and round from its start (paper: 8 search roll-outs)")
    branches: int = Field(4, ge=0, description="episodes per task and round from inside failed ones")
    dialogues: knobs("splice") = Field(default_factory=knobs("splice"), description="how many train, how many revise")
    general: int = Field(
        150, ge=0, description="general examples mixed in: the seed model's own critiques (paper: 80 %)"
    )
    judge: Literal["model", "oracle"] = Field(
        "model", description="who finds the first bad action for the arm agent_r: the actor itself, or an exact checker"
    )
    oracle: knobs("critique") = Field(
        default_factory=knobs("critique"), description="dials of the exact checker: miss_rate, false_alarm_rate"
    )
    sft: knobs("sft_turns") = Field(default_factory=knobs("sft_turns"), description="training of each round")
    test_episodes: int = Field(4, ge=1, description="episodes per test task when an agent is measured")


@recipe(
    title="Agent-R: Training Language Model Agents to Reflect via Iterative Self-Training",
    arxiv="2501.11425",
    arms=("agent_r", "direct_revision", "good_only", "oracle_cut"),
)
def agent_r(lab, p):
    """An agent acts in a world; of several episodes of one task, some are good and some are bad. The actor itself walks
    through a bad one and says at which action it first went wrong. The bad episode is cut there, an admission of the
    mistake is put in, and the good episode's actions follow; only the admission and the good actions are learned. The
    actor is fine-tuned on such revision trajectories and on good ones, and the new actor begins again, with a stricter
    bar for what is good. Reflecting only at a bad episode's end (direct revision), or learning from good episodes alone,
    should teach less.

    Departures
    1. The world is a crafting game of 24 things (TextCraft's kind), the agent a model of 0.15 M parameters that learned
       to act and to judge actions from exact examples; sizes, steps and rates are scaled to minutes.
    2. Episodes: from the start, then from inside failed ones by reset and replay, in place of a search tree by UCT.
    3. The judge reads a bad episode once and gives a verdict on each action, good or bad, seeing also what came after;
       it is read up to the first bad one. The paper asks at each action anew, with a third answer, uncertain.
    4. The admission of a mistake is one word, the action `wait`, which costs no action; the paper draws one of ten
       sentences. So the skill measured is when it is said.
    5. Splices are played again and only consistent ones are learned; the paper takes all. The limit of actions is
       lifted there, since direct revision would be left with none.
    6. A good path's score may equal alpha; the paper's strict bar leaves nothing at alpha 1.
    7. General data are the seed model's own critiques, so that the judge is not forgotten; the paper's are ShareGPT's.
    8. All arms train on equally many dialogues and steps.

    Findings
    1. Agents that learn from revisions learn to admit mistakes sooner (delay 3.3 to 1.3 actions, seed 0), and more and more
       where there is none: needless signals rise from 0.12 to 0.47 an episode in three rounds (direct revision: 0.01), and
       actions with them (6.9 an episode; good trajectories only: 4.4). What is learned is to say it, not when.
    2. It is not the judge's fault: with the exact first error as the cut (`oracle_cut`) the agent does no better.
    3. Good trajectories alone teach most here. Whether a larger actor, which has room for both, behaves as in the paper
       is open; the share of revisions (`dialogues.revision_share`) is the dial to turn.
    """
    train, validation, test = lab.problems("train"), lab.problems("validation"), lab.problems("test")
    lab.disjoint(train, validation, test)
    seed = lab.seed_model()
    measure(lab, p, seed, test)
    first = lab.act(seed, train, n=p.episodes, branches=p.branches)
    said = lab.critique(seed, first, train, label="actor", temperature=0.0)
    general = [lab.examples(train, solutions=first, critiques=said, limit=p.general)] if p.general else []

    for arm in lab.arms("agent_r", "direct_revision", "good_only", "oracle_cut"):
        actor = seed
        for r in lab.rounds(len(p.alphas)):
            played = lab.act(actor, train, n=p.episodes, branches=p.branches)
            how = {"alpha": p.alphas[r - 1], "beta": p.beta, **p.dialogues}
            if arm == "direct_revision":
                how["cut"] = "end"
            elif arm == "good_only":
                how["revision_share"] = 0.0
            judged = verdicts(lab, p, arm, actor, played, train)
            dialogues = lab.splice(played, train, critiques=judged, **how)
            actor = lab.sft_turns(actor, [dialogues, *general], name="actor", **p.sft)
            measure(lab, p, actor, test)
    claims(lab, len(p.alphas))


def measure(lab, p, actor, test):
    """Measure an agent on the test tasks."""
    lab.measure(lab.evaluate("agent", test, solutions=lab.act(actor, test, n=p.test_episodes, name="test-episodes")))


def verdicts(lab, p, arm, actor, played, train):
    """Return who says where episodes first went wrong; None where the arm does not ask. The actor's skill is measured."""
    if arm == "oracle_cut" or (arm == "agent_r" and p.judge == "oracle"):
        return lab.oracle_critique("oracle", played, train, **p.oracle)
    if arm != "agent_r":
        return None
    said = lab.critique(actor, played, train, label="actor", temperature=0.0)
    lab.measure(lab.evaluate("critic", train, solutions=played, critiques=said), subject="judge")
    return said


def claims(lab, last):
    """State the paper's claims; its comparisons are at equal numbers of training samples, so of judged episodes."""
    at_last = {"better": lab.at("agent_r", round=last), "equal": ("oracle_calls",)}
    unequal = {**at_last, "equal": ()}
    lab.claim(
        "training on revision trajectories and good ones beats training on good ones alone",
        paper="Agent-R above optimal trajectories only after every round, on all three worlds (analysis of training data)",
        metric="pass@1",
        than=lab.at("good_only", round=last),
        **at_last,
    )
    lab.claim(
        "cutting a bad episode at its first mistake teaches more than reflecting at its end",
        paper="Agent-R above direct revision after every round, on all three worlds (analysis of training data)",
        metric="pass@1",
        than=lab.at("direct_revision", round=last),
        **at_last,
    )
    lab.claim(
        "revision trajectories lower the rate of repeated actions against good trajectories alone",
        paper="fewer repeated-action loops than the agent trained on optimal trajectories (analysis of loops)",
        metric="loop_rate",
        than=lab.at("good_only", round=last),
        **at_last,
    )
    lab.claim(
        "over the rounds the agent says sooner that it has made a mistake",
        paper="the revision's length, from the start of the error to its detection, shrinks from round 1 to round 3",
        metric="detection_delay",
        than=lab.at("agent_r", round=1),
        **unequal,
    )
    lab.claim(
        "the trained agent beats the one that training began with",
        paper="+5.59 points over the baselines on average over WebShop, ScienceWorld and TextCraft (abstract)",
        metric="pass@1",
        than=lab.at("shared"),
        **unequal,
    )
    lab.claim(
        "the actor's own judgement of where to cut is worth as much as the exact first error, within five points",
        paper="errors are located within the actor's current ability, which is said to suffice (section on transition points)",
        metric="pass@1",
        than=lab.at("oracle_cut", round=last),
        margin=-0.05,
        **unequal,
    )
