import itertools
import json
import random
from collections import Counter
from fractions import Fraction
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from elenchus import problems, seeds
from elenchus.critics import format as critique_format
from elenchus.errors import UserError
from elenchus.problems import Check, chain, coloring, countdown, crafting
from elenchus.stages import problems as stage

FAMILIES = {
    "chain": chain.Options(),
    "coloring": coloring.Options(),
    "countdown": countdown.Options(),
    "crafting": crafting.Options(),
}
ALL = [*FAMILIES, pytest.param("gym", marks=pytest.mark.gym)]
CHAIN = chain.build(8, [("-", 7), ("*", 9), ("+", 4)], 11)
COUNTDOWN = countdown.build([3, 5, 7], 22, 60)


def options_of(name):
    """Return the options under which a family is tested: gym's are made where its library is installed."""
    return FAMILIES.get(name) or problems.load(name).Options()


# -- every family keeps the contract ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_contract_on_generated_problems(name):
    family, options = problems.load(name), options_of(name)
    words, rng, errors = set(family.vocabulary(options)), random.Random(0), Counter()
    for _ in range(250):
        problem = family.generate(options, rng)
        steps = family.reference(problem)
        text = family.render(problem, steps)
        solution = family.parse(problem, text)
        assert solution.ok and list(solution.steps) == steps and family.render(problem, list(solution.steps)) == text
        assert family.check_answer(problem, solution.answer)
        assert all(check.ok and not check.error for check in family.check_steps(problem, steps))
        assert family.distance(problem, []) == len(steps) == problem.meta["difficulty"]
        assert [family.distance(problem, steps[:k]) for k in range(len(steps) + 1)] == list(range(len(steps), -1, -1))
        assert family.corrupt(problem, rng, 0.0) == steps

        wrong = family.corrupt(problem, rng, 0.6)
        solution, checks = family.parse(problem, family.render(problem, wrong)), family.check_steps(problem, wrong)
        assert solution.ok and len(checks) == len(wrong)
        errors.update(check.error for check in checks if not check.ok)
        right = family.check_answer(problem, solution.answer)
        assert right == (family.distance(problem, wrong) == 0)
        assert right or problems.first_error(checks) >= 0  # a well-formed wrong answer has a wrong step
        units = critique_format.from_checks(checks)
        critique = critique_format.parse(critique_format.render(units), len(wrong), family.error_types())
        assert critique.parsed and critique.first_error == problems.first_error(checks)

        drill = family.drills(options, rng)
        assert len(drill.predictable) == len(drill.completion.split()) and any(drill.predictable)
        said = [problem.prompt, text, family.render(problem, wrong), critique_format.render(units), drill.completion]
        assert set(" ".join(said).split()) <= words
        row = {"problem_id": problem.id, "family": name, "prompt": problem.prompt, "answer": problem.answer}
        assert problems.from_row({**row, "meta": json.dumps(problem.meta)}) == problem
    assert set(errors) == set(family.error_types()) - {"format"}


@pytest.mark.parametrize("name", ALL)
def test_same_seed_same_problems(name):
    family, options = problems.load(name), options_of(name)
    one, other = ([family.generate(options, rng) for _ in range(5)] for rng in (random.Random(3), random.Random(3)))
    assert one == other and len({problem.id for problem in one}) == 5


# -- chain ------------------------------------------------------------------------------------------------------------


def test_chain_by_hand():
    assert CHAIN.prompt == "8 #1 - 7 #2 * 9 #3 + 4"
    assert CHAIN.answer == "2"  # ((8 - 7) * 9 + 4) mod 11 = 13 mod 11
    assert chain.render(CHAIN, chain.reference(CHAIN)) == "#1 8 - 7 = 1 #2 1 * 9 = 9 #3 9 + 4 = 2 answer 2"


@pytest.mark.parametrize(
    ("step", "check"),
    [
        ("1 * 9 = 9", Check(True, "", "1 * 9", "9", "9")),
        ("1 * 9 = 7", Check(False, "result", "1 * 9", "9", "7")),
        ("3 * 9 = 5", Check(False, "carry", "1 * 9", "9", "5")),
        ("1 + 9 = 10", Check(False, "operator", "1 * 9", "9", "10")),
        ("1 * 8 = 8", Check(False, "operand", "1 * 9", "9", "8")),
        ("1 * 9 is 9", Check(False, "format", "1 * 9", "9", "none")),
        ("1 * 9 = 20", Check(False, "format", "1 * 9", "9", "none")),  # not reduced modulo 11
        ("1 * 9 = 09", Check(False, "format", "1 * 9", "9", "none")),
    ],
)
def test_chain_step_errors(step, check):
    assert chain.check_steps(CHAIN, ["8 - 7 = 1", step])[1] == check


def test_chain_steps_are_judged_from_the_claims_before_them():
    checks = chain.check_steps(CHAIN, ["8 - 7 = 2", "2 * 9 = 7", "7 + 4 = 0", "0 + 1 = 1"])
    assert [check.error for check in checks] == ["result", "", "", "format"]  # a fourth step answers no operation
    assert checks[1] == Check(True, "", "2 * 9", "7", "7")


def test_chain_distance_knows_cancelling_errors():
    assert chain.distance(CHAIN, ["8 - 7 = 2"]) is None
    assert chain.distance(CHAIN, ["8 - 7 = 2", "2 * 9 = 9"]) == 1  # two wrongs, and 9 + 4 still makes the answer
    assert chain.distance(CHAIN, ["nonsense"]) is None
    assert chain.distance(CHAIN, [*chain.reference(CHAIN), "2 + 1 = 3"]) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "answer 2",
        "#1 8 - 7 = 1 #2 1 * 9 = 9 answer 9",  # a step is missing
        "#1 8 - 7 = 1 #2 1 * 9 = 9 #3 9 + 4 = 2",  # no answer
        "#1 8 - 7 = 1 #2 1 * 9 = 9 #3 9 + 4 = 2 answer 3",  # the answer is not the last result
        "#1 8 - 7 = 1 #2 1 * 9 = 9 #3 9 + 4 = 2 answer 2 2",
        "#1 8 - 7 = 1 #3 1 * 9 = 9 #2 9 + 4 = 2 answer 2",
        "#1 8 - 7 = 1 #2 1 * 9 = 9 #3 9 + 4 = 2 #4 2 + 1 = 3 answer 3",
        "#1 8 - 7 -> 1 #2 1 * 9 = 9 #3 9 + 4 = 2 answer 2",
        "#1 8 - 7 = 1 #2 1 * 9 = 9 #3 9 + 4 = 13 answer 13",  # no number modulo 11
    ],
)
def test_chain_refuses_other_forms(text):
    solution = chain.parse(CHAIN, text)
    assert not solution.ok and solution.answer == ""


def test_chain_keeps_the_steps_that_it_could_read():
    assert chain.parse(CHAIN, "#1 8 - 7 = 1 #2 1 * = 9").steps == ("8 - 7 = 1",)


# -- countdown --------------------------------------------------------------------------------------------------------


def test_countdown_by_hand():
    assert COUNTDOWN.prompt == "make 22 from 3 5 7" and COUNTDOWN.answer == ""
    assert COUNTDOWN.meta["difficulty"] == 2
    solution = countdown.parse(COUNTDOWN, "#1 3 * 5 = 15 #2 15 + 7 = 22 answer 22")
    assert solution.ok and solution.answer == "((3 * 5) + 7)"
    assert countdown.check_answer(COUNTDOWN, solution.answer)


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("((3 * 5) + 7)", True),
        ("7 + 5 * 3", True),
        ("22", False),  # not a given number
        ("((5 * 5) - 3)", False),  # 5 twice
        ("((3 * 5) - 7)", False),
        ("3 * 5 +", False),
        ("7 / (5 - 5)", False),
        ("__import__('os')", False),
        ("", False),
    ],
)
def test_countdown_answers(answer, right):
    assert countdown.check_answer(COUNTDOWN, answer) is right


def test_countdown_answers_are_exact():
    assert countdown.check_answer(countdown.build([3, 1, 3], 9, 60), "3 / (1 / 3)")  # through a fraction


def test_a_lie_that_claims_the_target_is_well_formed_and_wrong():
    solution = countdown.parse(COUNTDOWN, "#1 3 + 5 = 8 #2 8 + 7 = 22 answer 22")
    assert solution.ok and solution.answer == "((3 + 5) + 7)" and not countdown.check_answer(COUNTDOWN, solution.answer)


@pytest.mark.parametrize(
    ("step", "check"),
    [
        ("15 + 7 = 22", Check(True, "", "15 + 7", "22", "22")),
        ("15 + 7 = 21", Check(False, "result", "15 + 7", "22", "21")),
        ("15 + 5 = 20", Check(False, "unavailable", "15 + 5", "20", "20")),  # 5 is used up
        ("7 + 7 = 14", Check(False, "unavailable", "7 + 7", "14", "14")),  # there is only one 7
        ("7 - 15 = 8", Check(False, "range", "7 - 15", "none", "8")),
        ("15 * 7 = 5", Check(False, "range", "15 * 7", "none", "5")),  # 105 is above 60
        ("15 / 7 = 2", Check(False, "range", "15 / 7", "none", "2")),
        ("15 + 7", Check(False, "format", "none", "none", "none")),
    ],
)
def test_countdown_step_errors(step, check):
    assert countdown.check_steps(COUNTDOWN, ["3 * 5 = 15", step])[1] == check


def test_division_by_zero_is_out_of_range():
    problem = countdown.build([4, 4, 7, 2], 14, 60)
    checks = countdown.check_steps(problem, ["4 - 4 = 0", "7 / 0 = 14"])
    assert [check.error for check in checks] == ["", "range"]
    assert countdown.distance(problem, ["4 - 4 = 0", "7 / 0 = 14"]) is None


def test_countdown_distance_sees_dead_ends():
    assert countdown.distance(COUNTDOWN, []) == 2
    assert countdown.distance(COUNTDOWN, ["3 * 5 = 15"]) == 1
    assert countdown.distance(COUNTDOWN, ["3 + 5 = 8"]) is None  # right, but 22 is out of reach from 7 and 8
    assert countdown.distance(COUNTDOWN, ["3 + 5 = 15"]) is None  # 15 + 7 claims 22, and is not
    assert countdown.distance(COUNTDOWN, ["3 * 5 = 15", "15 + 7 = 22"]) == 0


def test_countdown_distance_agrees_with_trying_everything():
    def fewest(table, target):
        found = []
        for i, j in itertools.permutations(range(len(table)), 2):
            a, b, rest = table[i], table[j], [x for k, x in enumerate(table) if k not in (i, j)]
            for value in (a + b, a - b, a * b, Fraction(a, b) if b else -1):
                if value == target:
                    return 1
                if 0 <= value <= 20 and value == int(value):
                    found.append(fewest([*rest, int(value)], target))
        return min((1 + count for count in found if count), default=None)

    rng = random.Random(5)
    seen = Counter()
    for _ in range(60):
        numbers, target = [rng.randint(1, 9) for _ in range(rng.choice((3, 4)))], rng.randint(1, 20)
        expected = fewest(numbers, target)
        seen[expected] += 1
        if expected is None:
            with pytest.raises(ValueError, match="no way"):
                countdown.build(numbers, target, 20)
        else:
            assert countdown.build(numbers, target, 20).meta["difficulty"] == expected
    assert set(seen) >= {1, 2, None}


def test_countdown_without_a_way_is_refused():
    with pytest.raises(ValueError, match="no way"):
        countdown.build([1, 1, 1], 50, 60)


@pytest.mark.parametrize("text", ["#1 3 * 5 = 15 answer 15", "answer 22", "#1 3 * 5 = 15 #2 15 + 7 = 22 answer 21"])
def test_countdown_refuses_other_forms(text):
    assert not countdown.parse(COUNTDOWN, text).ok


# -- options, splits, the stage ---------------------------------------------------------------------------------------


def test_options_refuse_what_they_do_not_know():
    with pytest.raises(ValidationError, match="modulo"):
        chain.Options.model_validate({"modulo": 7})
    with pytest.raises(ValidationError, match="min_length 5 is above max_length 4"):
        chain.Options(min_length=5, max_length=4)
    with pytest.raises(UserError, match="did you mean 'chain'"):
        problems.load("chian")
    assert problems.full_options("chain", {"modulus": 7})["max_length"] == 6


def test_splits_are_decided_by_content():
    assert [problems.split_of(f"chain-{byte:02x}0123456789") for byte in (0, 191, 192, 223, 224, 255)] == [
        *["train"] * 2,
        *["validation"] * 2,
        *["test"] * 2,
    ]
    sets = {s: list(stage.distinct(stage.Params(split=s, n=200))) for s in ("train", "validation", "test")}
    ids = {split: {problem.id for problem in drawn} for split, drawn in sets.items()}
    assert all(len(found) == 200 for found in ids.values()) and len(set.union(*ids.values())) == 600
    assert all(problems.split_of(i) == split for split, found in ids.items() for i in found)


def test_a_larger_set_begins_with_the_smaller():
    drawn = {
        name: list(stage.distinct(stage.Params(**p)))
        for name, p in (("few", {"n": 20}), ("more", {"n": 50}), ("others", {"n": 20, "seed": 1}))
    }
    assert drawn["more"][:20] == drawn["few"] != drawn["others"]


def test_too_small_a_space_is_said_plainly():
    tiny = {"modulus": 3, "min_length": 1, "max_length": 1, "operators": ["+"]}  # six problems in all
    with pytest.raises(UserError, match=r"holds about [0-6] problems, 100 are asked for|empty split"):
        list(stage.distinct(stage.Params(options=tiny, n=100)))


def test_an_empty_split_is_said_plainly():
    problem = problems.Problem("fixed-00aa", "fixed", "", "")
    fixed = SimpleNamespace(__name__="elenchus.problems.fixed", generate=lambda options, rng: problem)
    assert problems.draw(fixed, None, "train", seeds.rng(0)).id == "fixed-00aa"
    with pytest.raises(UserError, match="empty split: none of 10000 generated fixed problems belongs to 'test'"):
        problems.draw(fixed, None, "test", seeds.rng(0))


def test_countdown_references_show_that_there_are_many_ways():
    rng, options = random.Random(1), countdown.Options(min_numbers=4, max_numbers=4, max_number=9)
    found = [[s.split() for s in countdown.reference(countdown.generate(options, rng))] for _ in range(200)]
    turned = [int(a) > int(b) for steps in found for a, op, b, _, _ in steps if op in "+*" and a != b]
    assert 0.3 < sum(turned) / len(turned) < 0.7  # both orders of operands
    once = countdown.build([2, 2, 8, 9], 20, 60)
    ways = {
        tuple(countdown.reference(countdown.build(list(numbers), 20, 60)))
        for numbers in itertools.permutations(once.meta["numbers"])
    }
    assert len(ways) > 1  # the same numbers in another order are another problem
    assert countdown.reference(once) == countdown.reference(countdown.build([2, 2, 8, 9], 20, 60))
