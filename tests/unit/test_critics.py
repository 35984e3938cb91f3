import math
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elenchus import conversation, plan, problems
from elenchus.critics import model, oracle, pairs, revise, rows
from elenchus.critics.drafts import Draft
from elenchus.critics.format import Critique, parse, render
from elenchus.critics.oracle import Dials
from elenchus.engines import Completion, Sampling
from elenchus.errors import UserError
from elenchus.problems import chain

ROOT = Path(__file__).parents[2]
PROBLEM = chain.build(8, [("-", 7), ("*", 9), ("+", 4)], 11)  # 8 - 7 = 1, 1 * 9 = 9, 9 + 4 = 2


def draft_of(steps, problem=PROBLEM, name="s0"):
    checks = chain.check_steps(problem, list(steps))
    first = next((i for i, c in enumerate(checks) if not c.ok), -1)
    answer = steps[-1].split()[-1]
    return Draft(name, problem, chain.render(problem, list(steps)), tuple(steps), answer == problem.answer, first)


WRONG = draft_of(["8 - 7 = 1", "1 * 9 = 7", "7 + 4 = 0"])
RIGHT = draft_of(chain.reference(PROBLEM))
TEXT = "#1 8 - 7 -> 1 1 good #2 1 * 9 -> 9 7 bad result #3 7 + 4 -> 0 0 good wrong"


def drawn(seed, rate=0.5):
    rng = random.Random(seed)
    problem = chain.generate(chain.Options(), rng)
    return draft_of(chain.corrupt(problem, rng, rate), problem, f"s{seed}")


def test_the_oracle_without_faults_is_the_exact_critique():
    row = oracle.criticise(WRONG, "exact", Dials(), 0)
    assert row["text"] == TEXT
    assert (row["verdict"], row["first_error"], row["bad_steps"], row["errors"], row["fixes"]) == (
        "wrong",
        1,
        [1],
        ["result"],
        ["9"],
    )
    assert (row["parsed"], row["confidence"], row["critique_id"]) == (True, 1.0, "s0~exact.0")


def test_a_blind_oracle_confirms_what_it_does_not_see():
    row = oracle.criticise(WRONG, "blind", Dials(blind=("result",)), 0)
    assert row["text"] == "#1 8 - 7 -> 1 1 good #2 1 * 9 -> 7 7 good #3 7 + 4 -> 0 0 good right"
    carried = draft_of(["8 - 7 = 1", "3 * 9 = 5", "5 + 4 = 9"])
    assert "#2 3 * 9 -> 5 5 good" in oracle.criticise(carried, "blind", Dials(blind=("carry",)), 0)["text"]


def test_dials_at_their_ends():
    assert oracle.criticise(WRONG, "c", Dials(miss_rate=1.0), 0)["verdict"] == "right"
    alarmed = oracle.criticise(RIGHT, "c", Dials(false_alarm_rate=1.0), 0)
    assert alarmed["bad_steps"] == [0, 1, 2]
    assert all(fix != claim for fix, claim in zip(alarmed["fixes"], ["1", "9", "2"], strict=True))
    misled = oracle.criticise(WRONG, "c", Dials(wrong_fix_rate=1.0), 0)
    assert misled["bad_steps"] == [1] and misled["fixes"][0] not in ("9", "7")


def test_confidence_is_one_minus_the_noise_of_its_verdict():
    dials = Dials(miss_rate=0.3, false_alarm_rate=0.0)
    seen = {r["verdict"]: r["confidence"] for r in (oracle.criticise(WRONG, "c", dials, s) for s in range(30))}
    assert seen == {"right": 0.7, "wrong": 1.0}


@settings(max_examples=60)
@given(
    st.integers(0, 10_000), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.sets(st.sampled_from(chain.ERRORS))
)
def test_oracle_critiques_parse_and_keep_to_their_dials(seed, miss, alarm, fix, blind):
    draft = drawn(seed)
    dials = Dials(miss, alarm, fix, tuple(sorted(blind)))
    row = oracle.criticise(draft, "c", dials, 1)
    assert row["parsed"], row["parse_error"]
    assert row == oracle.criticise(draft, "c", dials, 1)
    assert not set(row["errors"]) & blind
    truth = {u.step for u in draft.truth() if not u.ok}
    if alarm == 0:
        assert set(row["bad_steps"]) <= truth
    if miss == 0 and not blind:
        assert truth <= set(row["bad_steps"])


@given(st.integers(0, 1000), st.floats(0, 1), st.floats(0, 1))
def test_equal_draws_miss_more_at_a_higher_miss_rate(seed, a, b):
    draft, (low, high) = drawn(seed), sorted((a, b))
    found = [
        {u.step for u in oracle.judge(draft, Dials(miss_rate=m), random.Random(3)) if not u.ok} for m in (low, high)
    ]
    assert found[1] <= found[0]


def test_miss_and_alarm_rates_are_kept_on_average():
    missed = alarmed = bad = good = 0
    for seed in range(600):
        draft = drawn(seed)
        found = set(oracle.criticise(draft, "c", Dials(miss_rate=0.3, false_alarm_rate=0.1), 5)["bad_steps"])
        truth = {u.step for u in draft.truth() if not u.ok}
        rest = set(range(len(draft.steps))) - truth
        missed, bad, alarmed, good = (
            missed + len(truth - found),
            bad + len(truth),
            alarmed + len(found & rest),
            good + len(rest),
        )
    assert missed / bad == pytest.approx(0.3, abs=0.04) and alarmed / good == pytest.approx(0.1, abs=0.03)


def test_critics_and_samples_differ():
    dials = Dials(miss_rate=0.5, false_alarm_rate=0.5)
    texts = {oracle.criticise(drawn(1), c, dials, 0, sample)["text"] for c in "ab" for sample in range(4)}
    assert len(texts) > 2


@pytest.mark.parametrize("family", ["chain", "coloring", "countdown", "crafting"])
def test_the_main_jobs_teachers_suit_every_family(family):
    whole = plan.load(ROOT, {"problems": {"family": family}})
    taught = [
        s.params for s in whole.recipe("elenchus").stages if s.kind == "critique" and s.params["source"] == "oracle"
    ]
    spots = {p["critic"]: p["blind"] for p in taught}
    types = problems.load(family).error_types()
    assert len(spots) == 4 and all(t in types for blind in spots.values() for t in blind)
    assert sum(map(len, spots.values())) == len({t for blind in spots.values() for t in blind}) >= 3, "different ones"
    if family == "chain":
        assert spots == {"careful": ["carry"], "lenient": ["operand"], "nervous": ["operator"], "sloppy": ["result"]}


def test_a_blind_spot_of_no_family_is_refused_before_anything_runs():
    with pytest.raises(
        UserError, match=r"(?s)'cary' is no error type of any problem family; did you mean 'carry'\?.*countdown:"
    ):
        oracle.blind_spots(["cary"], "chain")


def test_an_unknown_blind_spot_is_refused_with_the_nearest():
    with pytest.raises(UserError, match="did you mean 'result'"):
        oracle.check_blind(Dials(blind=("reslt",)), chain.ERRORS)


def test_rows_of_the_unreadable_guess_nothing():
    row = rows.row(WRONG, "c", 0, "hm", parse("hm", 3, chain.ERRORS), confidence=0.9)
    assert (row["parsed"], row["verdict"], row["first_error"], row["bad_steps"]) == (False, "", None, [])
    assert math.isnan(row["confidence"]) and "no #1" in row["parse_error"]


# -- model critics and revisers, with an engine that replies from a list


@pytest.fixture(scope="module")
def tokenizer():
    from elenchus.models import new_tokenizer

    return new_tokenizer(chain.vocabulary(chain.Options()))


class Scripted:
    """An engine that replies with given texts; `at` holds the probability of the tokens that are not at 0.99."""

    def __init__(self, tokenizer, replies, at=None):
        self.tokenizer, self.replies, self.at, self.prompts = tokenizer, replies, at or {}, []

    def sample(self, prompts, sampling, seed, n=1):
        self.prompts += prompts
        return [[self.completion(text) for text in self.replies[:n]] for _ in prompts]

    def completion(self, text):
        tokens = tuple(self.tokenizer(text, add_special_tokens=False).input_ids)
        logprobs = [math.log(self.at.get(i, 0.99)) for i in range(len(tokens))]
        return Completion(tokens, self.tokenizer.decode(tokens), (*logprobs, -0.1), "end")


def test_a_model_critique_is_read_strictly(tokenizer):
    place = TEXT.split().index("bad")
    engine = Scripted(tokenizer, [TEXT, TEXT + " wrong"], {place: 0.6, 0: 0.1})
    good, unread = model.criticise(engine, tokenizer, [WRONG], "m", Sampling(), seed=0, n=2)
    assert engine.prompts[0] == conversation.render(
        tokenizer, conversation.critique(PROBLEM.prompt, WRONG.text), "critic"
    )
    assert (good["first_error"], good["verdict"], good["tokens"], good["sample"]) == (1, "wrong", len(TEXT.split()), 0)
    assert good["confidence"] == pytest.approx(0.6)  # the mark's 0.1 is no verdict
    assert (unread["parsed"], unread["first_error"], unread["sample"]) == (False, None, 1)
    assert good["critique_id"] != unread["critique_id"]


def test_step_scores_are_the_probability_of_good(tokenizer):
    words = TEXT.split()
    places = [i for i, w in enumerate(words) if w in ("good", "bad")]
    engine = Scripted(tokenizer, [TEXT], dict(zip(places, (0.9, 0.8, 0.7), strict=True)))
    assert model.step_scores(engine, tokenizer, [WRONG], Sampling(temperature=0), 0) == [pytest.approx([0.9, 0.2, 0.7])]
    assert model.step_scores(Scripted(tokenizer, ["#1 good"]), tokenizer, [WRONG], Sampling(), 0) == [None]


def test_a_verdict_word_of_several_tokens_has_their_product():
    class Pieces:
        def decode(self, ids):
            return {1: "#1", 2: " go", 3: "od", 4: " right"}[ids[0]]

    completion = Completion((1, 2, 3, 4), "#1 good right", tuple(map(math.log, (0.5, 0.8, 0.5, 0.9))), "stop")
    assert model.verdicts(Pieces(), completion) == [("good", pytest.approx(0.4)), ("right", pytest.approx(0.9))]


def test_refinements_are_read_and_checked(tokenizer):
    replies = [RIGHT.text, WRONG.text, "#1 8"]
    engine = Scripted(tokenizer, replies)
    ((right, wrong, broken),) = revise.revise(engine, tokenizer, [(WRONG, TEXT)], Sampling(), 0, n=3)
    assert engine.prompts == [
        conversation.render(tokenizer, conversation.refine(PROBLEM.prompt, WRONG.text, TEXT), "assistant")
    ]
    assert (right.correct, right.first_error) == (True, -1)
    assert (wrong.correct, wrong.first_error) == (False, 1)
    assert (broken.correct, broken.solution.ok, broken.first_error) == (False, False, -1)
    same = revise.unchanged(WRONG)
    assert (same.text, same.correct, same.first_error, same.tokens) == (WRONG.text, False, 1, 0)


# -- pairs


def test_severity_by_hand():
    truth = draft_of(["8 - 7 = 2", "2 * 9 = 3", "3 + 4 = 7"]).truth()  # steps 1 and 2 are wrong
    texts = {
        "sound": (render(truth), 0),
        "misses first": ("#1 8 - 7 -> 2 2 good #2 2 * 9 -> 7 3 bad result #3 3 + 4 -> 7 7 good wrong", 4),
        "misses both": ("#1 8 - 7 -> 2 2 good #2 2 * 9 -> 3 3 good #3 3 + 4 -> 7 7 good right", 4 + 3),
        "wrong fix, wrong type, false alarm": (
            "#1 8 - 7 -> 5 2 bad result #2 2 * 9 -> 7 3 bad carry #3 3 + 4 -> 8 7 bad result wrong",
            2 + 1 + 3,
        ),
    }
    for text, severity in texts.values():
        assert pairs.severity(parse(text, 3, chain.ERRORS), truth) == severity
    assert pairs.severity(Critique((), "", None, "no"), truth) == 4


def test_rank_takes_every_strictly_better_one():
    scores, texts = {"a": 0.0, "b": -2.0, "c": -2.0, "d": -5.0}, {"a": "A", "b": "B", "c": "C", "d": "A"}
    got = [(p.chosen, p.rejected, p.margin) for p in pairs.rank(scores, texts)]
    assert got == [("b", "d", 3.0), ("c", "d", 3.0), ("a", "b", 2.0), ("a", "c", 2.0)]  # a and d say the same
    assert [p.margin for p in pairs.rank(scores, texts, min_margin=2.0)] == [3.0, 3.0]
    assert len(pairs.rank(scores, texts, most=1)) == 1


@given(st.dictionaries(st.sampled_from("abcde"), st.integers(-3, 3).map(float)))
def test_rank_properties(scores):
    found = pairs.rank(scores, {k: k for k in scores})
    assert len(found) == sum(scores[a] > scores[b] for a in scores for b in scores)
    assert all(p.margin == scores[p.chosen] - scores[p.rejected] > 0 for p in found)


def test_critic_vs_rule_by_hand():
    rng = random.Random(0)
    judged = pairs.judge_score([1, 2], [1, 3], 5, 0.0, rng)  # recall 1/2, one of three right steps called wrong
    assert judged == round(10 * (0.5 - 1 / 6))
    assert pairs.rule_score([1, 2], [1, 3], judged) == pytest.approx(1 / 3 + 0.1 * judged)
    assert pairs.rule_score([], [], pairs.judge_score([], [], 3, 0.0, rng)) == pytest.approx(2.0)
    noisy = {pairs.judge_score([1], [1], 3, 5.0, random.Random(s)) for s in range(20)}
    assert noisy <= set(map(float, range(11))) and len(noisy) > 2


def test_the_filter_is_strict_and_label_quality_counts_ties():
    assert pairs.passes(0.5, 0.25) and not pairs.passes(0.5, 0.5) and not pairs.passes(0.25, 0.5)
    got = pairs.label_quality([(0, 1), (1, 1), (2, 1), (0, 4)])
    assert (got.accuracy, got.tied, got.wrong, got.n) == (0.5, 0.25, 0.25, 4)
    assert pairs.label_quality([]).n == 0
