"""Agent-R: pairing, transition point, splice and loss masks on an example made by hand; episodes; the agent's metrics."""

from __future__ import annotations

import json
import random

import pandas as pd
import pytest

from elenchus import models
from elenchus.agents import episodes, splices
from elenchus.agents.splices import Path
from elenchus.engines import Completion, Sampling
from elenchus.errors import UserError
from elenchus.metrics import agent
from elenchus.problems import chain, crafting
from elenchus.training import turns

# A bow needs rope and wood, rope two reeds. The spare reed and hide make a strap, which can be taken apart.
BOW = crafting.build("bow", ["reed", "reed", "hide", "wood"], slack=4)
OPTIMAL = crafting.written(BOW, ["join reed reed", "join rope wood"])
MENDED = crafting.written(BOW, ["join hide reed", "part strap", "join reed reed", "join rope wood"])
WASTED = crafting.written(BOW, ["join hide reed", "join reed wood", "part strap", "join hide hide"])
REFUSED = crafting.written(BOW, ["join clay coal", "join clay coal", "join clay coal", *["join ore ore"] * 3])


def test_scores_of_the_example():
    assert [crafting.score(BOW, s) for s in (OPTIMAL, MENDED, WASTED, REFUSED)] == [1.0, 0.75, 0.0, 0.0]


def test_pairs_need_a_gap_above_beta_and_alpha():
    paths = [Path("o", tuple(OPTIMAL), 1.0), Path("m", tuple(MENDED), 0.75), Path("w", tuple(WASTED), 0.0)]

    def named(alpha, beta):
        return [(g.id, b.id) for g, b in splices.pairs(paths, alpha, beta)]

    assert named(0.5, 0.2) == [("o", "m"), ("o", "w"), ("m", "w")]
    assert named(0.5, 0.25) == [("o", "w"), ("m", "w")]  # a gap of exactly beta is none
    assert named(0.75, 0.2) == named(0.5, 0.2)  # alpha may be met
    assert named(1.0, 0.2) == [("o", "m"), ("o", "w")]
    assert splices.pairs(paths[2:], 0.0, 0.2) == [] and splices.good_paths(paths[2:], 0.0) == []


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("#1 join a b -> c c good #2 wait -> ok ok good right", None),
        ("#1 join a b -> c c good #2 mumble -> c nothing bad missing wrong", 1),
        ("#1 join a b -> c d bad detour #2 join", 0),  # what comes after the first bad action is not read
        ("#1 join a b -> c c good #3 mumble -> c nothing bad missing wrong", None),  # not step by step
        ("#1 join a b c d good #2 mumble -> c nothing bad missing wrong", None),
        ("#1 join a b -> c d bad luck wrong", None),  # no such error
        ("", None),
    ],
)
def test_transition_point(text, first):
    assert splices.first_bad(text, crafting.ERRORS) == first


def test_equal_paths_count_once():
    paths = [Path("a", ("x",), 1.0), Path("b", ("y",), 1.0), Path("c", ("x",), 1.0)]
    assert [p.id for p in splices.distinct(paths)] == ["a", "b"]


def test_the_good_part_begins_where_it_departs():
    assert splices.departure(["a", "b"], ["a", "c", "d"]) == 1
    assert splices.departure(["a", "b"], ["a", "b", "d"]) == 2
    assert splices.departure(["x"], ["a"]) == 0
    assert splices.departure(["a", "b", "c"], ["a", "b"]) == 2


def test_splice_of_paths_that_share_a_prefix():
    # the wasted path went wrong at its first action: that one is kept, and the mended path goes on from there
    made = splices.splice(BOW, Path("w", tuple(WASTED), 0.0), Path("m", tuple(MENDED), 0.75), kept=1)
    assert [crafting.action_of(s) for s in made.steps] == [
        "join hide reed",
        "wait",
        "part strap",
        "join reed reed",
        "join rope wood",
    ]
    assert made.consistent and made.kept == 1 and made.steps[-1].endswith("done")


def test_splice_onto_a_changed_world_is_not_consistent():
    # the reed is in the strap, so the optimal path's first action is impossible now
    made = splices.splice(BOW, Path("w", tuple(WASTED), 0.0), Path("o", tuple(OPTIMAL), 1.0), kept=1)
    assert made.steps[2] == "join reed reed <user> nothing" and not made.consistent


def test_splice_at_the_end_may_go_beyond_the_limit_of_actions():
    bad = Path("r", tuple(REFUSED), 0.0)
    made = splices.splice(BOW, bad, Path("o", tuple(OPTIMAL), 1.0), kept=len(bad.steps))
    assert len(made.steps) == 6 + 1 + 2 and made.consistent
    assert len(crafting.written(BOW, [crafting.action_of(s) for s in made.steps])) == 6  # over with its actions


@pytest.fixture(scope="module")
def tokenizer():
    return models.new_tokenizer(crafting.vocabulary(crafting.Options()))


def learned(tokenizer, row):
    """Return the example's words, those without loss in brackets."""
    ids, labels = turns.on_turns(tokenizer, row["prompt"], row["reply"], row["completion"])
    assert len(ids) == len(labels) and all(label in (-100, token) for token, label in zip(ids, labels))
    words = [tokenizer.convert_ids_to_tokens(i) for i in ids]
    return " ".join(w if label != -100 else f"({w})" for w, label in zip(words, labels))


def test_loss_is_on_the_signal_and_the_good_actions_only(tokenizer):
    made = splices.splice(BOW, Path("w", tuple(WASTED), 0.0), Path("m", tuple(MENDED), 0.75), kept=1)
    assert learned(tokenizer, splices.as_example("x", BOW, made.steps, made.kept)) == (
        "(<user>) (make) (bow) (from) (reed) (reed) (hide) (wood) "
        "(<assistant>) (join) (hide) (reed) (<user>) (strap) "
        "(<assistant>) wait <user> (ok) "
        "(<assistant>) part strap <user> (apart) "
        "(<assistant>) join reed reed <user> (rope) "
        "(<assistant>) join rope wood <end>"
    )


def test_all_actions_of_a_good_path_are_learned(tokenizer):
    assert learned(tokenizer, splices.as_example("x", BOW, OPTIMAL)) == (
        "(<user>) (make) (bow) (from) (reed) (reed) (hide) (wood) "
        "(<assistant>) join reed reed <user> (rope) (<assistant>) join rope wood <end>"
    )


def test_plain_examples_are_learned_as_by_sft(tokenizer):
    prompt = json.dumps([{"role": "user", "content": "make bow"}, {"role": "assistant", "content": "wait"}])
    row = {"prompt": prompt, "reply": "critic", "completion": "good"}
    assert learned(tokenizer, row) == "(<user>) (make) (bow) (<assistant>) (wait) (<critic>) good <end>"


# -- episodes ---------------------------------------------------------------------------------------------------------


class Scripted:
    """An engine that says given actions, one a turn, whoever asks."""

    def __init__(self, tokenizer, *actions):
        self.tokenizer, self.actions, self.prompts = tokenizer, list(actions), []

    def sample(self, prompts, sampling, seed, n=1):
        self.prompts.append(prompts)
        text = self.actions.pop(0)
        return [[Completion((1, 2), text, (-0.5, -0.5), "stop")] for _ in prompts]


def play(tokenizer, start, *actions):
    engine = Scripted(tokenizer, *actions)
    (row,) = episodes.play(engine, [start], Sampling(), 0, "t", 0, 1)
    return row, engine


def test_an_episode_is_a_solution_with_the_worlds_answers(tokenizer):
    row, engine = play(tokenizer, episodes.Start(BOW), "join reed reed <user>", "join rope wood")
    assert row["steps"] == OPTIMAL and row["parsed"] and row["correct"] and row["first_error"] == -1
    assert engine.prompts[1] == [f"<user> {BOW.prompt} <assistant> {OPTIMAL[0]} <assistant> "]
    assert (row["tokens"], row["logprob"]) == (4, -2.0)


def test_a_branch_replays_what_was_taken(tokenizer):
    start = episodes.Start(BOW, ("join hide reed", "part strap"))
    row, engine = play(tokenizer, start, "join reed reed", "join rope wood")
    assert row["steps"] == MENDED and row["correct"] and row["first_error"] == 0
    assert len(engine.prompts) == 2 and row["tokens"] == 4


def test_an_unreadable_action_costs_one_and_changes_nothing(tokenizer):
    row, _ = play(
        tokenizer, episodes.Start(BOW), "join reed reed <user>", "join rope make <user>", "", "join rope wood"
    )
    assert row["steps"] == [OPTIMAL[0], "mumble <user> nothing", "mumble <user> nothing", OPTIMAL[1]]
    assert row["correct"] and row["first_error"] == 1 and row["error"] == "missing"


def test_branches_start_inside_failed_episodes():
    rows = [
        {"correct": True, "steps": OPTIMAL},
        {"correct": False, "steps": WASTED},
        {"correct": False, "steps": WASTED[:1]},
    ]
    starts = episodes.branches(BOW, rows, 30, random.Random(0))
    acts = [crafting.action_of(s) for s in WASTED]
    assert {s.taken for s in starts} == {tuple(acts[:k]) for k in (1, 2, 3)}
    assert episodes.branches(BOW, rows[2:], 2, random.Random(0)) == [episodes.Start(BOW)] * 2


def test_other_families_have_no_world():
    with pytest.raises(UserError, match="not interactive"):
        episodes.check_interactive(chain.build(1, [("+", 1)], 11))


# -- metrics ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("actions", "rate"), [("", 0), ("a", 0), ("abc", 0), ("aaa", 1 / 2), ("abab", 1 / 3), ("aaaaa", 3 / 4)]
)
def test_loop_rate(actions, rate):
    assert agent.loop_rate(list(actions)) == pytest.approx(rate)


@pytest.mark.parametrize(
    ("signals", "error", "delay"),
    [
        ("..w", 1, (1, True)),
        ("...w.w", 1, (2, True)),
        ("w..", 1, (2, False)),
        ("w.w", 1, (1, True)),
        ("w", 0, (1, False)),
    ],
)
def test_detection_delay(signals, error, delay):
    assert agent.detection_delay([s == "w" for s in signals], error) == delay


@pytest.mark.parametrize(
    ("signals", "error", "early"),
    [("..w", 1, False), ("w..", 1, True), ("w.w", 1, True), ("...", 0, False), ("..w", -1, True), ("...", -1, False)],
)
def test_needless_signals(signals, error, early):
    assert agent.needless([s == "w" for s in signals], error) is early


def test_parts_of_an_agent(tokenizer):
    rows = [
        play(
            tokenizer, episodes.Start(BOW), "join hide reed", "wait", "part strap", "join reed reed", "join rope wood"
        )[0],
        play(tokenizer, episodes.Start(BOW), *["join clay coal"] * 6)[0],
    ]
    frame = pd.DataFrame(
        [
            {
                "problem_id": BOW.id,
                "family": "crafting",
                "prompt": BOW.prompt,
                "answer": BOW.answer,
                "meta": json.dumps(BOW.meta),
            }
        ]
    )
    items = agent.agent(pd.DataFrame(rows), frame, ks=(1,), s=(), seed=0).set_index("metric")
    values, weights = items["value"].to_dict(), items["weight"].to_dict()
    assert values["pass@1"] == 0.5 and values["score"] == pytest.approx(0.375)  # 0.75: the wait is free; and 0
    assert values["loop_rate"] == pytest.approx((0 + 4 / 5) / 2)
    assert values["detected"] == 0.5 and weights["detected"] == 2
    assert values["detection_delay"] == (1 + 6) / 2 and weights["detection_delay"] == 2
    assert values["needless_signals"] == 0.0 and values["actions"] == 5.5
