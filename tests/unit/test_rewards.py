"""Rewards of critiques against Critique-RL's definitions by hand, and the counting of what they cost."""

from __future__ import annotations

import pytest

from elenchus import conversation, models
from elenchus.critics import format as critique_format
from elenchus.critics.drafts import Draft
from elenchus.engines import Completion
from elenchus.errors import UserError
from elenchus.job import Cost
from elenchus.problems import chain
from elenchus.training import grpo
from elenchus.training.rewards import Judged, reward, terms

RIGHT_TO_RIGHT = Judged(parsed=True, verdict=True, first_error=True, was_correct=True, correct=True)
WRONG_TO_RIGHT = Judged(parsed=True, verdict=True, first_error=True, was_correct=False, correct=True)
RIGHT_TO_WRONG = Judged(parsed=True, verdict=False, first_error=False, was_correct=True, correct=False)
WRONG_TO_WRONG = Judged(parsed=True, verdict=True, first_error=False, was_correct=False, correct=False)
LUCKY = Judged(parsed=True, verdict=False, first_error=False, was_correct=False, correct=True)
UNREADABLE = Judged(parsed=False, verdict=True, first_error=True, was_correct=True, correct=True)


@pytest.mark.parametrize(
    ("judged", "refinement", "delta", "correction"),
    [
        (RIGHT_TO_RIGHT, 1.0, 0.0, 0.2),
        (WRONG_TO_RIGHT, 1.0, 1.0, 1.0),
        (RIGHT_TO_WRONG, 0.0, -1.0, 0.0),
        (WRONG_TO_WRONG, 0.0, 0.0, 0.0),
        (UNREADABLE, 0.0, -1.0, 0.0),
    ],
)
def test_terms_of_refinement(judged, refinement, delta, correction):
    values = terms(judged)
    assert (values["refinement"], values["delta"], values["correction"]) == (refinement, delta, correction)


def test_unreadable_earns_nothing_direct():
    values = terms(UNREADABLE)
    assert (values["verdict"], values["first_error"], values["format"]) == (0.0, 0.0, 0.0)
    assert terms(WRONG_TO_WRONG) | {"x": 0} == {
        "verdict": 1.0, "first_error": 0.0, "format": 1.0, "refinement": 0.0, "delta": 0.0, "correction": 0.0,
        "refinement_wrong_only": 0.0, "x": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("judged", "paper_one", "repo_one", "paper_two", "repo_two"),
    [
        (WRONG_TO_RIGHT, 1.0, 1.0, 1.2, 1.2),
        (WRONG_TO_WRONG, 1.0, 1.0, 0.2, 0.2),
        (RIGHT_TO_WRONG, 0.0, -1.0, 0.0, -1.0),
        (LUCKY, 0.0, -1.0, 1.0, -1.0),  # the released code throws the refinement's reward away
        (UNREADABLE, 0.0, -1.0, 0.0, -1.0),
    ],
)
def test_stages_in_both_forms(judged, paper_one, repo_one, paper_two, repo_two):
    one, two = {"verdict": 1.0}, {"refinement": 1.0, "verdict": 0.2}
    assert reward(judged, one, "paper") == paper_one
    assert reward(judged, one, "repo") == repo_one
    assert reward(judged, two, "paper") == pytest.approx(paper_two)
    assert reward(judged, two, "repo") == pytest.approx(repo_two)


class Actor:
    """An engine that writes the solutions it is told, by prompt."""

    def __init__(self, answers: dict[str, str]):
        self.answers, self.asked = answers, []
        self.prompt_tokens = self.sampled_tokens = 0

    def sample(self, prompts, sampling, seed, n=1):
        assert sampling.temperature == 0.0 and n == 1, "a greedy refinement of each"
        self.asked += prompts
        self.prompt_tokens += 10 * len(prompts)
        self.sampled_tokens += 3 * len(prompts)
        return [[Completion((), self.answers[p], (), "end")] for p in prompts]


PROBLEM = chain.build(3, [("+", 4), ("*", 2)], 11)  # 3 + 4 = 7, 7 * 2 = 3 (mod 11)
DRAFTS = {
    "good": Draft("good", PROBLEM, "#1 3 + 4 = 7 #2 7 * 2 = 3 answer 3", ("3 + 4 = 7", "7 * 2 = 3"), True, -1),
    "bad": Draft("bad", PROBLEM, "#1 3 + 4 = 8 #2 8 * 2 = 5 answer 5", ("3 + 4 = 8", "8 * 2 = 5"), False, 0),
}
FINDS = "#1 3 + 4 -> 7 8 bad result #2 8 * 2 -> 5 5 good wrong"
BLAMES_SECOND = "#1 3 + 4 -> 8 8 good #2 8 * 2 -> 4 5 bad result wrong"
PASSES = "#1 3 + 4 -> 7 7 good #2 7 * 2 -> 3 3 good right"


def test_rewarder_reads_asks_and_counts():
    tokenizer = models.new_tokenizer(chain.vocabulary(chain.Options()))
    cost = Cost()

    def refining(draft: str, critique: str) -> str:
        messages = conversation.refine(PROBLEM.prompt, DRAFTS[draft].text, critique)
        return conversation.render(tokenizer, messages, "assistant")

    actor = Actor(
        {
            refining("bad", FINDS): DRAFTS["good"].text,
            refining("bad", BLAMES_SECOND): "#1 3 + 4 = 8 #2 8 * 2 = 4 answer 4",
            refining("good", PASSES): "#1 3 + 4 = 7",  # breaks the format: not right
        }
    )
    weights = {"refinement": 1.0, "verdict": 0.2, "first_error": 0.5}
    rewarder = grpo.Rewarder(DRAFTS, weights, "paper", cost, actor, tokenizer)
    texts = [FINDS, BLAMES_SECOND, PASSES, "good good", FINDS]
    rewards, means = rewarder(texts, ["bad", "bad", "good", "good", "bad"])
    assert rewards == pytest.approx([1.7, 0.2, 0.7, 0.0, 1.7])
    assert means == pytest.approx({"terms/refinement": 0.4, "terms/verdict": 0.8, "terms/first_error": 0.6})
    assert len(actor.asked) == 3, "each prompt once, none for the unreadable critique"
    assert cost == Cost(sampled=9, prompt=30, trained=0, oracle_calls=3)


def test_verdict_is_about_the_answer_first_error_about_the_steps():
    lucky = Draft("lucky", PROBLEM, "", ("3 + 4 = 8", "8 * 2 = 3"), True, 0)  # two errors that cancel
    rewarder = grpo.Rewarder({"lucky": lucky}, {"verdict": 1.0, "first_error": 10.0}, "paper", Cost())
    found = "#1 3 + 4 -> 7 8 bad result #2 8 * 2 -> 5 3 bad result wrong"
    assert rewarder([found, PASSES], ["lucky", "lucky"])[0] == [10.0, 1.0]


@pytest.mark.parametrize(
    ("weights", "form", "labels"),
    [
        ({"format": 1.0}, "paper", False),
        ({"refinement": 1.0, "format": 1.0}, "paper", False),
        ({"refinement": 1.0}, "repo", True),
        ({"delta": 1.0}, "paper", True),
        ({"verdict": 1.0}, "paper", True),
    ],
)
def test_which_rewards_need_labels(weights, form, labels):
    assert grpo.Rewarder(DRAFTS, weights, form, Cost()).labels is labels


def pool(right: int, wrong: int) -> list[bool]:
    return [True] * right + [False] * wrong


def test_prompts_as_sampled_pass_over_all():
    places = grpo.prompts_in_order(pool(6, 2), 4, 4, None, seed=1)
    assert len(places) == 16
    for half in (places[:8], places[8:]):
        assert sorted(half) == list(range(8))
    assert places[:8] != places[8:], "each pass in its own order"
    assert places == grpo.prompts_in_order(pool(6, 2), 4, 4, None, seed=1)
    assert places != grpo.prompts_in_order(pool(6, 2), 4, 4, None, seed=2)


def test_prompts_balanced_in_every_step():
    places = grpo.prompts_in_order(pool(30, 3), 8, 5, 0.25, seed=1)
    for step in range(5):
        assert sum(i >= 30 for i in places[8 * step : 8 * step + 8]) == 2
    assert {i for i in places if i >= 30} == {30, 31, 32}


def test_prompts_errors():
    with pytest.raises(UserError, match=r"0 of 5 solutions are wrong; balance 0\.5 asks for 2 in every step"):
        grpo.prompts_in_order(pool(5, 0), 4, 4, 0.5, seed=1)
    assert len(grpo.prompts_in_order(pool(5, 0), 4, 4, 0.0, seed=1)) == 16


def test_critiques_of_the_fixture_are_critiques():
    assert critique_format.parse(FINDS, 2, chain.error_types()).first_error == 0
    assert critique_format.parse(BLAMES_SECOND, 2, chain.error_types()).first_error == 1
    assert [c.ok for c in chain.check_steps(PROBLEM, list(DRAFTS["bad"].steps))] == [False, True]
