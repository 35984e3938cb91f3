import pytest

from elenchus.critics import format as critique_format
from elenchus.critics.format import Unit
from elenchus.problems import Check

ERRORS = ("result", "carry")
GOOD = Unit(0, True, "", "8 - 7", "1", "1")
BAD = Unit(1, False, "result", "1 * 9", "9", "7")
TEXT = "#1 8 - 7 -> 1 1 good #2 1 * 9 -> 9 7 bad result wrong"


def test_renders_the_documented_text():
    assert critique_format.render([GOOD, BAD]) == TEXT
    assert critique_format.render([GOOD]) == "#1 8 - 7 -> 1 1 good right"


def test_reads_back_what_it_renders():
    critique = critique_format.parse(TEXT, 2, ERRORS)
    assert critique.parsed and critique.problem == ""
    assert critique.units == (GOOD, BAD)
    assert (critique.verdict, critique.first_error, critique.bad) == ("wrong", 1, (BAD,))
    assert critique_format.parse("#1 8 - 7 -> 1 1 good right", 1, ERRORS).first_error == -1


def test_first_error_is_the_earliest_bad_step():
    text = "#1 8 - 7 -> 1 2 bad result #2 2 * 9 -> 7 7 good #3 7 + 1 -> 8 3 bad carry wrong"
    critique = critique_format.parse(text, 3, ERRORS)
    assert critique.first_error == 0
    assert [(unit.step, unit.error, unit.expected) for unit in critique.bad] == [(0, "result", "1"), (2, "carry", "8")]


def test_units_of_exact_checks():
    checks = [Check(True, "", "8 - 7", "1", "1"), Check(False, "result", "1 * 9", "9", "7")]
    assert critique_format.from_checks(checks) == [GOOD, BAD]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no #1 where step 1 of 2"),
        ("#1 8 - 7 -> 1 1 good", "no #2 where step 2 of 2"),  # a step is missing
        ("#2 1 * 9 -> 9 7 bad result #1 8 - 7 -> 1 1 good wrong", "no #1 where step 1"),  # wrong order
        ("#1 8 - 7 -> 1 1 good #1 1 * 9 -> 9 7 bad result wrong", "no #2 where step 2"),  # a step twice
        ("#1 8 - 7 -> 1 1 good #2 1 * 9 = 9 7 bad result wrong", "#2 has no working before '->'"),
        ("#1 -> 1 1 good #2 1 * 9 -> 9 7 bad result wrong", "#1 has no working"),
        ("#1 8 - 7 -> 1 good #2 1 * 9 -> 9 7 bad result wrong", "#1 ends before its verdict"),
        ("#1 8 - 7 -> 1 1 fine #2 1 * 9 -> 9 7 bad result wrong", "#1 has 'fine' where its verdict"),
        ("#1 8 - 7 -> 1 1 good #2 1 * 9 -> 9 7 bad typo wrong", "#2 has 'typo' where an error type"),
        ("#1 8 - 7 -> 1 1 good #2 1 * 9 -> 9 7 bad", "#2 has '' where an error type"),
        ("#1 8 - 7 -> 1 1 good #2 1 * 9 -> 9 7 bad wrong", "#2 has 'wrong' where an error type"),
        ("#1 8 - 7 -> 1 1 good #2 1 * 9 -> 9 7 bad result", "no 'right' or 'wrong'"),
        ("#1 8 - 7 -> 1 1 good #2 1 * 9 -> 9 7 bad result wrong wrong", "'wrong' follows the overall verdict"),
        (TEXT + " #3 1 + 1 -> 2 2 good", "'#3' follows"),
        ("#1 8 - 7 -> 1 1 good #2 1 * 9 -> 9 7 bad result right", "'right' contradicts"),
        ("#1 8 - 7 -> 1 1 good #2 1 * 9 -> 9 9 good wrong", "'wrong' contradicts"),
    ],
)
def test_any_deviation_is_refused_with_its_reason(text, reason):
    critique = critique_format.parse(text, 2, ERRORS)
    assert not critique.parsed and reason in critique.problem
    assert (critique.units, critique.verdict, critique.first_error) == ((), "", None)


def test_a_critique_of_fewer_steps_than_the_solution_has_is_refused():
    assert not critique_format.parse(TEXT, 3, ERRORS).parsed
    assert not critique_format.parse(TEXT, 1, ERRORS).parsed
