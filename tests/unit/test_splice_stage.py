"""The stage that makes dialogues: transition points from critiques, arms' cuts, shares and limits."""

from __future__ import annotations

import json

import pytest
from finished import result

from elenchus import solutions as rows
from elenchus import tables
from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.problems import crafting
from elenchus.stages import splice

BOW = crafting.build("bow", ["reed", "reed", "hide", "wood"], slack=4)
EPISODES = {
    "optimal": ["join reed reed", "join rope wood"],
    "mended": ["join hide reed", "part strap", "join reed reed", "join rope wood"],
    "refused": ["join ore ore", "join clay coal", *["mumble"] * 4],
}


def judgement(first):
    """Return a critique that calls step `first` bad (-1: none) and then breaks off."""
    good = [f"#{k + 1} mumble -> rope rope good" for k in range(6 if first < 0 else first)]
    return " ".join([*good, "right" if first < 0 else f"#{first + 1} mumble -> rope nothing bad missing #9 join"])


def made(tmp_path, first=None, **params):
    """Return (examples, splices) of the three episodes; first: {episode: the judge's first bad step}."""
    problem = {"problem_id": BOW.id, "family": "crafting", "prompt": BOW.prompt, "answer": "done"}
    played = []
    for i, (name, actions) in enumerate(EPISODES.items()):
        text = crafting.render(BOW, crafting.written(BOW, actions))
        played.append({**rows.read(BOW, text, i, "t"), "solution_id": name})
    inputs = {
        "problems": result(tmp_path / "problems", problems=[{**problem, "meta": json.dumps(BOW.meta)}]),
        "solutions": result(tmp_path / "solutions", solutions=played),
    }
    if first is not None:
        said = [{"solution_id": s, "problem_id": BOW.id, "text": judgement(f), "sample": 0} for s, f in first.items()]
        inputs["critiques"] = result(tmp_path / "critiques", critiques=said)
    job = Job("splice", splice.Params(**params), 1, inputs, tmp_path, tmp_path)
    splice.run(job)
    assert job.cost.oracle_calls == 3
    return tuple(tables.records(name, tmp_path / f"{name}.parquet") for name in ("examples", "splices"))


def test_the_bad_path_is_cut_after_the_action_that_the_judge_calls_bad(tmp_path):
    _, tried = made(tmp_path, {"refused": 1, "mended": 0})
    kept = {(s["good"], s["bad"]): (s["kept"], s["consistent"]) for s in tried}
    # the optimal path's first action is impossible where the reed is in the strap
    assert kept == {
        ("optimal", "refused"): (2, True),
        ("mended", "refused"): (2, True),
        ("optimal", "mended"): (1, False),
    }


def test_a_path_in_which_nothing_is_judged_bad_is_kept_whole(tmp_path):
    _, tried = made(tmp_path, {"refused": -1})
    assert {s["kept"] for s in tried if s["bad"] == "refused"} == {6}


def test_direct_revision_asks_no_judge(tmp_path):
    _, tried = made(tmp_path, cut="end")
    assert {s["kept"] for s in tried if s["bad"] == "refused"} == {6}


def test_shares_and_limit(tmp_path):
    revising, _ = made(tmp_path, {"refused": 0}, limit=3, revision_share=0.67)
    assert sum(">" in e["example_id"] for e in revising) == 2 and len(revising) == 3
    good, tried = made(tmp_path, limit=3, revision_share=0.0)
    assert [e["example_id"] for e in good] == ["optimal", "mended"] and tried == []
    strict, _ = made(tmp_path, limit=3, revision_share=0.0, alpha=1.0)
    assert [e["example_id"] for e in strict] == ["optimal"]


def test_all_splices_where_asked(tmp_path):
    some, _ = made(tmp_path, {"refused": 0, "mended": 0}, revision_share=1.0, limit=9)
    every, _ = made(tmp_path, {"refused": 0, "mended": 0}, revision_share=1.0, limit=9, consistent="all")
    assert {e["example_id"] for e in every} - {e["example_id"] for e in some} == {"mended>optimal"}


def test_a_judged_cut_needs_a_judge(tmp_path):
    with pytest.raises(UserError, match="critiques"):
        made(tmp_path)
