"""Pieces: any text is written in the vocabulary's words and read back unchanged."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from elenchus import pieces

KNOWN = {"Add", "the", "nul", "×", "é"}
TEXT = (
    st.text()
    | st.text(alphabet=" \n#␣↵♯␛␀aAdtheé×0-<_")
    | st.lists(st.sampled_from([*KNOWN, " ", "x", "1"])).map("".join)
)


def test_pieces_by_hand():
    assert pieces.write("Add 12 + nulls.\n", {"Add", "the"}) == "Add ␣ 1 2 ␣ + ␣ n u l l s . ↵"
    assert pieces.write("the  Add, 3 × #4", KNOWN) == "the ␣ ␣Add , ␣ 3 ␣ × ␣ ♯ 4"
    assert pieces.write("é", ()) == "␛ 0 0 0 0 e 9" and pieces.write("") == "␀"


@given(TEXT)
@example("")
@example("␀")
@example(" ")
@example("␣Add")
@example("\t\r\x00\U0010ffff\ud800")
def test_every_text_comes_back_and_stays_in_the_vocabulary(text):
    for known in ((), KNOWN):
        written = pieces.write(text, known)
        assert pieces.read(written) == text
        assert set(written.split()) <= set(pieces.vocabulary(sorted(known))) and written == " ".join(written.split())
        assert not any(word.startswith("#") for word in written.split())


@given(
    st.lists(st.sampled_from([*pieces.vocabulary(sorted(KNOWN)), "", "#", "<end>", "␣␣", "␣é", "ab1"])).map(" ".join)
)
def test_what_can_be_read_is_one_text_and_the_rest_is_refused(written):
    try:
        text = pieces.read(written)
    except ValueError:
        return
    assert pieces.read(pieces.write(text, KNOWN)) == text


@pytest.mark.parametrize(
    "written", ["", " a", "a  b", "a ␀", "#", "␛ 0 0", "␛ f f f f f f", "␣␣", "␣1", "12", "<end>", "a\tb"]
)
def test_other_forms_are_refused(written):
    with pytest.raises(ValueError):
        pieces.read(written)


def test_runs_that_recur_are_one_piece():
    texts = ["Add 1 and 2", "Add 3 é", "Add x", "and Add Add"]
    assert pieces.recurring(texts, 2) == {"Add", "and"}
    assert pieces.recurring(texts, 1) == {"Add", "and", "é"}  # single letters and digits are pieces anyway
