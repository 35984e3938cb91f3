"""RefCritic: the dual reward with its scope and normalisation, the cold start's filter, and filtered votes, by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from elenchus import conversation, models
from elenchus.critics.drafts import Draft
from elenchus.engines import Completion
from elenchus.errors import UserError
from elenchus.job import Cost
from elenchus.metrics import catalogue, items, measure, passk
from elenchus.problems import chain
from elenchus.stages import grpo as grpo_stage
from elenchus.training import grpo
from elenchus.training.rewards import Judged, dual, reward


def judged(was_correct, verdict, share, parsed=True):
    return Judged(parsed=parsed, verdict=verdict, first_error=False, was_correct=was_correct, correct=share)


FOUND = judged(was_correct=False, verdict=True, share=0.75)
OVERLOOKED = judged(was_correct=False, verdict=False, share=0.75)
ACCEPTED = judged(was_correct=True, verdict=True, share=0.5)
FALSE_ALARM = judged(was_correct=True, verdict=False, share=0.5)
NO_VERDICT = judged(was_correct=False, verdict=False, share=0.0, parsed=False)
ALL = (FOUND, OVERLOOKED, ACCEPTED, FALSE_ALARM, NO_VERDICT)


@pytest.mark.parametrize(
    ("weight", "scope", "expected"),
    [
        (0, "wrong_only", [1, 0, 1, 0, 0]),
        (0, "always", [1, 0, 1, 0, 0]),
        (1, "wrong_only", [0.875, 0, 1, 0, 0]),  # (1 + 0.75) / 2; R_r := R_c but on found errors
        (1, "always", [0.875, 0.375, 0.75, 0.25, 0]),
        (3, "wrong_only", [(1 + 3 * 0.75) / 4, 0, 1, 0, 0]),
        (3, "always", [(1 + 3 * 0.75) / 4, 2.25 / 4, 2.5 / 4, 1.5 / 4, 0]),
    ],
)
def test_dual_reward(weight, scope, expected):
    assert [reward(j, dual(weight, scope), "paper") for j in ALL] == pytest.approx(expected)


def test_dual_needs_a_known_scope():
    assert dual(0, "wrong_only") == {"verdict": 1.0}, "no refinement is sampled where none is paid"
    with pytest.raises(ValueError, match="scope 'sometimes' is not one of wrong_only, always"):
        dual(1, "sometimes")


PROBLEM = chain.build(3, [("+", 4), ("*", 2)], 11)  # 3 + 4 = 7, 7 * 2 = 3 (mod 11)
DRAFTS = {
    "good": Draft("good", PROBLEM, "#1 3 + 4 = 7 #2 7 * 2 = 3 answer 3", ("3 + 4 = 7", "7 * 2 = 3"), True, -1),
    "bad": Draft("bad", PROBLEM, "#1 3 + 4 = 8 #2 8 * 2 = 5 answer 5", ("3 + 4 = 8", "8 * 2 = 5"), False, 0),
}
FINDS = "#1 3 + 4 -> 7 8 bad result #2 8 * 2 -> 5 5 good wrong"
OVERLOOKS = "#1 3 + 4 -> 8 8 good #2 8 * 2 -> 5 5 good right"
ACCEPTS = "#1 3 + 4 -> 7 7 good #2 7 * 2 -> 3 3 good right"
ALARMS = "#1 3 + 4 -> 8 7 bad result #2 7 * 2 -> 3 3 good wrong"


class Actor:
    """An engine whose refinements are right three times in four."""

    def __init__(self):
        self.asked, self.prompt_tokens, self.sampled_tokens = [], 0, 0

    def sample(self, prompts, sampling, seed, n=1):
        assert (sampling.temperature, seed, n) == (1.0, 17, 4)
        self.asked += prompts
        self.sampled_tokens += 5 * n * len(prompts)
        texts = [DRAFTS["good"].text, DRAFTS["bad"].text, DRAFTS["good"].text, DRAFTS["good"].text]
        return [[Completion((), text, (), "end") for text in texts] for _ in prompts]


@pytest.mark.parametrize(
    ("scope", "expected", "asked"),
    [("wrong_only", [0.875, 0.0, 1.0, 0.0, 0.0], ["bad"]), ("always", [0.875, 0.375, 0.875, 0.375, 0.0], None)],
)
def test_mean_of_four_refinements_and_who_is_refined(scope, expected, asked):
    tokenizer, cost, actor = models.new_tokenizer(chain.vocabulary(chain.Options())), Cost(), Actor()
    rewarder = grpo.Rewarder(DRAFTS, dual(1, scope), "paper", cost, actor, tokenizer)
    rewarder.refinements, rewarder.temperature, rewarder.seed = 4, 1.0, 17
    texts = [FINDS, OVERLOOKS, ACCEPTS, ALARMS, "good good"]
    rewards, _ = rewarder(texts, ["bad", "bad", "good", "good", "bad"])
    assert rewards == pytest.approx(expected)
    assert cost.oracle_calls == 4 * len(actor.asked) and cost.sampled == 20 * len(actor.asked)
    if asked:
        messages = conversation.refine(PROBLEM.prompt, DRAFTS["bad"].text, FINDS)
        assert actor.asked == [conversation.render(tokenizer, messages, "assistant")]
    else:
        assert len(actor.asked) == 4, "none for the unreadable critique"


def test_several_greedy_refinements_are_refused():
    with pytest.raises(ValueError, match="4 refinements at actor_temperature 0 are all the same"):
        grpo_stage.Params(refinements=4)


#         answers            right                   kept                   plain  filtered
VOTES = [
    (["1", "2", "2", "3"], [True, False, False, False], [True, False, False, True], 0.0, 0.5),  # 1 and 3 tie
    (["1", "2", "2", "3"], [True, False, False, False], [True, False, False, False], 0.0, 1.0),
    (["1", "1", "2", "2"], [True, True, False, False], [False] * 4, 0.5, 0.5),  # none is left: all vote
    (["1", "1", "2", None], [True, True, False, False], [False, False, False, True], 1.0, 1.0),  # who is left is mute
    (["1", "1", "1", "2"], [True, True, True, False], [False, False, False, True], 1.0, 0.0),  # a bad critic
]


@pytest.mark.parametrize(("answers", "right", "kept", "plain", "filtered"), VOTES)
def test_filtered_vote_of_all(answers, right, kept, plain, filtered):
    assert passk.majority_at_k(answers, right, 4) == plain
    assert passk.majority_at_k(answers, right, 4, kept=kept) == filtered


def test_filtered_vote_over_subsets():
    # of the four subsets of three: {1 2 2}, {1 2 3} twice, {2 2 3}; the critic drops one of the twos
    answers, right, kept = ["1", "2", "2", "3"], [True, False, False, False], [True, False, True, True]
    assert passk.majority_at_k(answers, right, 3) == pytest.approx((0 + 1 / 3 + 1 / 3 + 0) / 4)
    # without it: 1 2 | 1 3 | 1 2 3 | 2 3
    assert passk.majority_at_k(answers, right, 3, kept=kept) == pytest.approx((1 / 2 + 1 / 2 + 1 / 3 + 0) / 4)


def pool():
    """Return (solutions, critiques): problem p with answers 1 2 2 2 and problem q with 5 5 5 and one unreadable."""
    rows = [("p", "1", True), ("p", "2", False), ("p", "2", False), ("p", "2", False)]
    rows += [("q", "5", True), ("q", "5", True), ("q", "5", True), ("q", "", False)]
    solutions = pd.DataFrame(
        [
            {"solution_id": str(i), "problem_id": p, "answer": a, "correct": right, "parsed": a != ""}
            for i, (p, a, right) in enumerate(rows)
        ]
    )
    said = [("0", "right"), ("1", "wrong"), ("2", "wrong"), ("3", ""), ("4", "wrong"), ("5", "right"), ("6", "right")]
    said += [("3", "wrong"), ("3", "wrong"), ("0", "wrong")]  # two of 3's three critiques call it wrong; 0's are split
    return solutions, pd.DataFrame(said, columns=["solution_id", "verdict"])


def value(rows, metric):
    return items.interval(items.stack([[rows]]), metric).value


def test_vote_of_problems():
    rows = measure.vote(*pool(), ["p", "q", "unsolved"], ks=(3, 4))
    assert value(rows, "majority@4") == 0.5 and value(rows, "filtered_majority@4") == 1.0
    assert value(rows, "filtered_gain@4") == 0.5
    # p, three of its four: with sample 0 it alone is left (3 of 4 subsets), without it all are dropped and all vote
    assert value(rows, "majority@3") == 0.5 and value(rows, "filtered_majority@3") == pytest.approx((0.75 + 1) / 2)
    assert value(rows, "filtered_gain@3") == pytest.approx(0.375)
    assert value(rows, "filtered_growth@4-3") == pytest.approx(0.125)
    assert set(rows.loc[rows["item"] == "unsolved", "weight"]) == {0.0}
    with pytest.raises(UserError, match="ks holds 8, but a problem has 4 solutions only"):
        measure.vote(*pool(), ["p", "q"], ks=(8,))


def test_vote_metrics_are_in_the_catalogue():
    assert catalogue.find("filtered_growth@32-8").bounds == (-2.0, 2.0)
    measured = catalogue.computable(measure.vote(*pool(), ["p", "q"])["metric"])
    assert measured == ["filtered_gain@4", "filtered_majority@4", "majority@4"]
