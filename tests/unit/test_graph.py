"""Stages as values: what their digests depend on, what is refused, in which order they run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elenchus import graph, schemas, stages
from elenchus.errors import UserError
from elenchus.graph import canonical, digest_of, make, walk

OPTIONS = {"modulus": 5, "min_length": 1, "max_length": 2}


def problems(**changes):
    return make("problems", {"options": OPTIONS, "split": "train", "n": 5, **changes}, seed=0)


def model(seed=0, **changes):
    return make("seed_model", {"options": OPTIONS, **changes}, seed=seed)


def sample(seed=0, actor=None, **changes):
    return make("sample", changes, seed=seed, actor=actor or model(seed), problems=problems())


def test_equal_stages_have_one_digest_whatever_the_order_and_the_defaults():
    one = make("sample", {"n": 1, "temperature": 1.0}, seed=0, actor=model(), problems=problems())
    two = make("sample", {}, seed=0, problems=problems(), actor=model())
    assert one.digest == two.digest and one.folder == two.folder


@pytest.mark.parametrize(
    "other",
    [lambda: sample(n=2), lambda: sample(seed=1, actor=model()), lambda: sample(actor=model(width=64))],
    ids=["parameter", "seed", "input"],
)
def test_parameters_seed_and_inputs_are_in_the_digest(other):
    assert sample().digest != other().digest
    assert sample().rng_seed != other().rng_seed


def test_code_is_in_the_digest_but_not_in_the_random_streams(monkeypatch):
    before = sample()
    graph.kind_code.cache_clear()
    monkeypatch.setattr(
        graph, "code_digest", lambda module, roots=("*",): "changed" if module.endswith("sample") else "same"
    )
    after = sample()
    graph.kind_code.cache_clear()
    assert before.digest != after.digest and before.identity == after.identity and before.rng_seed == after.rng_seed


def test_the_family_s_code_is_in_every_stage_that_its_problems_reach():
    assert sample().families == ("chain",)
    assert graph.kind_code("sample", ("chain",)) != graph.kind_code("sample", ("countdown",))


def test_an_unseeded_kind_is_shared_between_seeds():
    assert (
        make("problems", {"options": OPTIONS}, seed=0).digest == make("problems", {"options": OPTIONS}, seed=7).digest
    )


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: make("smaple", {}, seed=0), ["unknown stage kind 'smaple'", "did you mean 'sample'?"]),
        (lambda: sample(temprature=1.0), ["unknown key 'temprature'", "did you mean 'temperature'?"]),
        (lambda: sample(n="many"), ["n:", "found 'many'"]),
        (lambda: sample(n=0), ["n:", "greater than or equal to 1", "found 0"]),
        (lambda: make("sample", {}, seed=0, actor=model()), ["lacks its input problems"]),
        (lambda: make("sample", {}, seed=0, actor=problems(), problems=problems()), ["input 'actor' needs 'model'"]),
        (
            lambda: make("sample", {}, seed=0, acter=model(), problems=problems()),
            ["no input 'acter'", "did you mean 'actor'?"],
        ),
        (lambda: make("sft", {}, seed=0, model=model(), examples=problems()), ["input 'examples' takes a list"]),
    ],
)
def test_what_is_wrong_is_said(build, words):
    with pytest.raises(UserError) as e:
        build()
    assert all(word in str(e.value) for word in words), str(e.value)


def test_walk_gives_parents_first_and_each_stage_once():
    base, asked = model(), problems()
    pools = [make("sample", {"n": n}, seed=0, actor=base, problems=asked) for n in (1, 2)]
    order = [s.digest for s in walk([*pools, base])]
    assert len(order) == len(set(order)) == 4
    assert all(order.index(p.digest) < order.index(s.digest) for s in pools for p in s.parents)


def test_a_stage_is_named_by_the_columns_that_it_writes_and_no_others(monkeypatch):
    asked = sample().definitions()
    assert [name for name in asked if "schemas:SCHEMAS" in name] == ["elenchus.schemas:SCHEMAS[solutions]"]
    before = {kind: graph.kind_code(kind, ("chain",)) for kind in ("sample", "score")}
    columns = {**schemas.SCHEMAS["solutions"], "mood": "str"}
    monkeypatch.setattr(schemas, "SCHEMAS", {**schemas.SCHEMAS, "solutions": columns, "moods": {"mood": "str"}})
    graph.kind_code.cache_clear()
    assert graph.kind_code("score", ("chain",)) == before["score"]
    assert graph.kind_code("sample", ("chain",)) != before["sample"]
    graph.kind_code.cache_clear()


def test_a_thousand_rounds_need_no_deep_recursion():
    stage, asked = model(), problems()
    for _ in range(1000):
        pool = make("sample", {}, seed=0, actor=stage, problems=asked)
        stage = make(
            "sft", {}, seed=0, model=stage, examples=[make("select", {}, seed=0, solutions=pool, problems=asked)]
        )
    assert len(list(walk([stage]))) == 3002


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), plain, max_size=5))
def test_the_digest_of_data_does_not_depend_on_the_order_of_keys(data):
    assert digest_of(data) == digest_of(dict(reversed(list(data.items()))))


@given(plain, plain)
def test_different_data_have_different_digests(a, b):
    assert (digest_of(a) == digest_of(b)) == (canonical(a) == canonical(b))


def test_kinds_that_train_or_write_are_known_by_what_they_read_and_make():
    """Memory, time and estimates of a kind follow from this; a list of names would be forgotten by the next kind."""
    trained = {k for k in stages.names() if stages.trains(k)}
    assert {"seed_model", "sft", "sft_turns", "dpo", "step_dpo", "grpo", "offline_rl", "process_head"} == trained
    assert {"sample", "act", "search", "judge", "score", "refine"} <= {k for k in stages.names() if stages.writes(k)}
    assert not any(stages.trains(k) or stages.writes(k) for k in ("pretrained", "problems", "evaluate", "summary"))
    assert stages.writes("score", ["solutions", "critic"]) and not stages.writes("score", ["solutions", "problems"])
