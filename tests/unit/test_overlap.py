"""Overlap of training with a benchmark: what is planted is found, and nothing else."""

import random

import pytest
from click.testing import CliRunner
from real import FIXTURES

from elenchus import benchmarks, overlap
from elenchus.cli import main

WORDS = [f"w{i}" for i in range(5000)]


def text(rng, n):
    return " ".join(rng.choice(WORDS) for _ in range(n))


def test_planted_overlap_is_found():
    rng = random.Random(0)
    items = [(f"i{k}", text(rng, 40)) for k in range(50)]
    training = [text(rng, 60) for _ in range(500)]
    training[7] = items[3][1].upper().replace(" ", ",  ")  # the same words in another layout
    training[9] = f"{text(rng, 10)} {' '.join(items[4][1].split()[5:25])} {text(rng, 10)}"
    training[11] = " ".join(items[5][1].split()[:12])  # twelve words are not thirteen
    found = {o.item: o for o in overlap.find(items, training)}
    assert found["i3"] == overlap.Overlap("i3", True, 1.0, 7)
    assert not found["i4"].exact and found["i4"].share == pytest.approx(8 / 28) and found["i4"].where == 9
    assert [k for k, o in found.items() if o.share > 0] == ["i3", "i4"]
    assert overlap.summary(list(found.values())) == {"items": 50, "exact": 1, "any": 2, "half_or_more": 1}


def test_short_items_count_only_as_a_whole():
    found = overlap.find([("a", "make 24 of four"), ("b", "one two")], ["now make 24 of four numbers", "one three two"])
    assert [(o.share, o.where) for o in found] == [(1.0, 0), (0.0, -1)]


def test_bad_questions_are_refused():
    with pytest.raises(ValueError, match="n = 0"):
        overlap.find([], [], n=0)
    with pytest.raises(ValueError, match="'a' has no word"):
        overlap.find([("a", "...")], [])


def test_command(tmp_path):
    item = next(benchmarks.items("svamp", FIXTURES / "svamp"))
    (tmp_path / "train.csv").write_text(f'text\n"{item.problem.prompt}"\n"something else"\n')
    args = [
        "data",
        "overlap",
        "svamp",
        "--from",
        str(FIXTURES / "svamp"),
        "--with",
        str(tmp_path / "train.csv"),
        "--field",
        "text",
    ]
    said = CliRunner().invoke(main, args)
    assert said.exit_code == 0, said.output
    assert "20 items: 1 exact" in said.output and "chal-1" in said.output and "row 1" in said.output
    said = CliRunner().invoke(main, [*args[:-1], "txt"])
    assert said.exit_code == 1 and "did you mean 'text'?" in said.output
