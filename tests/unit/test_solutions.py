"""Rows of the solutions table, and the `sample` stage end to end on a tiny model."""

from __future__ import annotations

import json
import random

import pytest
import torch

from elenchus import models, problems, solutions
from elenchus.engines import Completion
from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.problems import chain
from elenchus.stages import sample

torch.set_num_threads(1)
PROBLEM = chain.build(8, [("-", 7), ("*", 9)], 11)  # 8 - 7 = 1, 1 * 9 = 9


class Given:
    """Stands for a finished stage."""

    def __init__(self, folder=None, frame=None):
        self.folder, self.frame = folder, frame

    def dir(self, name):
        return self.folder

    def file(self, name):
        return self.folder / name

    def table(self, name):
        return self.frame

    def count(self, name):
        return len(self.frame)

    def rows(self, name, start, stop):
        return self.frame[start:stop]


def problem_rows(found):
    return [
        {
            "problem_id": p.id,
            "family": p.family,
            "split": "train",
            "prompt": p.prompt,
            "answer": p.answer,
            "meta": json.dumps(p.meta),
        }
        for p in found
    ]


@pytest.fixture(scope="session")
def actor(tmp_path_factory):
    folder = tmp_path_factory.mktemp("actor")
    tokenizer = models.new_tokenizer(chain.vocabulary(chain.Options()))
    models.save(models.new_model(len(tokenizer), width=32, layers=1, heads=2, context=96, seed=0), tokenizer, folder)
    return folder


@pytest.mark.parametrize(
    ("text", "parsed", "correct", "first_error", "error"),
    [
        ("#1 8 - 7 = 1 #2 1 * 9 = 9 answer 9", True, True, -1, ""),
        ("#1 8 - 7 = 2 #2 2 * 9 = 7 answer 7", True, False, 0, "result"),
        ("#1 8 - 7 = 1 #2 1 + 9 = 10 answer 10", True, False, 1, "operator"),
        ("#1 8 - 7 = 2 #2 1 * 9 = 9 answer 9", True, True, 0, "result"),  # two errors that cancel
        ("#1 8 - 7 = 1 answer 1", False, False, -1, ""),
    ],
)
def test_row(text, parsed, correct, first_error, error):
    completion = Completion((1, 2, 3), f" {text} ", (-0.5, -0.25, -0.25), "stop")
    row = solutions.row(PROBLEM, completion, 4, 0.7, "abc")
    assert row["text"] == text and row["solution_id"] == f"{PROBLEM.id}-abc.4"
    assert (row["parsed"], row["correct"], row["first_error"], row["error"]) == (parsed, correct, first_error, error)
    assert (row["tokens"], row["logprob"], row["temperature"], row["finish"]) == (3, -1.0, 0.7, "stop")
    assert row["answer"] == (text.split()[-1] if parsed else "")


def job(tmp_path, actor, frame, name, **params):
    inputs = {"actor": Given(actor), "problems": Given(frame=frame)}
    out = tmp_path / name
    out.mkdir()
    return Job("sample", sample.Params(**params), 7, inputs, out, out.with_suffix(".work"))


def test_sample_stage(tmp_path, actor):
    import pandas as pd

    from elenchus import tables

    rng = random.Random(0)
    found = [chain.generate(chain.Options(), rng) for _ in range(6)]
    frame = pd.DataFrame(problem_rows(found))
    one = job(tmp_path, actor, frame, "one", n=3, temperature=(0.5, 1.5), max_tokens=9, batch_size=4)
    sample.run(one)
    table = tables.read("solutions", one.out / "solutions.parquet")
    assert len(table) == 36 and table["solution_id"].is_unique
    assert set(table["temperature"]) == {0.5, 1.5} and set(table["sample"]) == set(range(6))
    assert one.cost.sampled >= table["tokens"].sum() and one.cost.oracle_calls == 0
    estimate = sample.estimate(one.params, {"problems": 6})
    assert estimate.rows == 36
    again = job(tmp_path, actor, frame, "again", n=3, temperature=(0.5, 1.5), max_tokens=9, batch_size=4)
    sample.run(again)
    assert (again.out / "solutions.parquet").read_bytes() == (one.out / "solutions.parquet").read_bytes()
    # fewer problems, another batch: the same solutions of those problems
    part = job(tmp_path, actor, frame.iloc[3:], "part", n=3, temperature=(0.5, 1.5), max_tokens=9, batch_size=50)
    sample.run(part)
    rest = tables.read("solutions", part.out / "solutions.parquet").set_index("solution_id")["text"]
    assert (table.set_index("solution_id")["text"].loc[rest.index] == rest).all()


def test_a_setting_overrides_the_temperature(tmp_path, actor):
    (tmp_path / "settings.json").write_text('{"temperature": 0.3}')
    given = job(tmp_path, actor, None, "x", temperature=1.0)
    given.inputs["setting"] = Given(tmp_path)
    assert sample.temperatures_of(given) == (0.3,)
    (tmp_path / "settings.json").write_text('{"threshold": 0.3}')
    with pytest.raises(UserError, match="temperature"):
        sample.temperatures_of(given)


def test_impossible_temperatures_are_refused():
    for wrong in (-1.0, (0.5, 0.5), ()):
        with pytest.raises(ValueError, match="temperature"):
            sample.Params(temperature=wrong)


def test_problem_round_trip():
    assert problems.from_row(problem_rows([PROBLEM])[0]) == PROBLEM
