"""Critique-RL's arms: which reward each half of the steps pays, in the paper's form and in the released code's."""

from __future__ import annotations

from pathlib import Path

import pytest

from elenchus import plan
from elenchus.training.rewards import Judged, reward

ROOT = Path(__file__).parents[2]
MENDED = Judged(parsed=True, verdict=True, first_error=True, was_correct=False, correct=1.0)
NOT_MENDED = Judged(parsed=True, verdict=True, first_error=False, was_correct=False, correct=0.0)
SPOILT = Judged(parsed=True, verdict=False, first_error=False, was_correct=True, correct=0.0)
KEPT = Judged(parsed=True, verdict=True, first_error=True, was_correct=True, correct=1.0)
MISJUDGED_BUT_MENDED = Judged(parsed=True, verdict=False, first_error=False, was_correct=False, correct=1.0)
NO_VERDICT = Judged(parsed=False, verdict=False, first_error=False, was_correct=True, correct=0.0)
ALL = (MENDED, NOT_MENDED, SPOILT, KEPT, MISJUDGED_BUT_MENDED, NO_VERDICT)


@pytest.fixture(scope="module")
def planned():
    return plan.load(ROOT).recipe("critique_rl")


def halves(planned, arm):
    """Return the RL stages on the way to the critic that an arm measures, first to last."""
    said = next(n.stage for n in planned.named if n.arm == arm and n.stage.kind == "critique")
    chain, stage = [], said.inputs["critic"]
    while stage.kind == "grpo":
        chain, stage = [stage, *chain], stage.inputs["critic"]
    assert stage.kind == "sft"
    return chain


@pytest.mark.parametrize(
    ("arm", "first", "second"),
    [  # of MENDED, NOT_MENDED, SPOILT, KEPT, MISJUDGED_BUT_MENDED, NO_VERDICT; beta1 = 0.2
        ("two_stage", (1, 1, 0, 1, 0, 0), (1.2, 0.2, 0, 1.2, 1, 0)),
        ("stage_one", (1, 1, 0, 1, 0, 0), (1, 1, 0, 1, 0, 0)),
        ("stage_two", (1.2, 0.2, 0, 1.2, 1, 0), (1.2, 0.2, 0, 1.2, 1, 0)),
        ("unanchored", (1, 1, 0, 1, 0, 0), (1, 0, 0, 1, 1, 0)),
        ("refinement", (1, 0, 0, 1, 1, 0), (1, 0, 0, 1, 1, 0)),
        ("delta", (1, 0, -1, 0, 1, -1), (1, 0, -1, 0, 1, -1)),
        ("correction", (1, 0, 0, 0.2, 1, 0), (1, 0, 0, 0.2, 1, 0)),
    ],
)
def test_rewards_of_both_halves(planned, arm, first, second):
    for stage, expected in zip(halves(planned, arm), (first, second), strict=True):
        assert [reward(j, stage.params["terms"], "paper") for j in ALL] == pytest.approx(list(expected))


def test_released_form_of_both_stages(planned):
    one, two = (s.params["terms"] for s in halves(planned, "two_stage"))
    assert [reward(j, one, "repo") for j in ALL] == [1, 1, -1, 1, -1, -1]
    assert [reward(j, two, "repo") for j in ALL] == pytest.approx([1.2, 0.2, -1, 1.2, -1, -1])


def test_equal_steps_and_one_warm_up(planned):
    arms = ("two_stage", "stage_one", "stage_two", "unanchored", "refinement", "delta", "correction")
    chains = [halves(planned, arm) for arm in arms]
    assert len({sum(s.params["steps"] for s in chain) for chain in chains}) == 1
    assert len({chain[0].inputs["critic"].digest for chain in chains}) == 1
    assert len({chain[0].digest for chain in chains[:2] + chains[3:4]}) == 1, "stage one is trained once"


def test_only_the_unanchored_arm_drops_the_kl(planned):
    betas = {arm: [s.params["beta"] for s in halves(planned, arm)] for arm in ("two_stage", "unanchored", "refinement")}
    assert betas == {"two_stage": [0.01, 0.01], "unanchored": [0.01, 0.0], "refinement": [0.01, 0.01]}
