"""The sampling protocol on a tiny random model, compared with plain forward passes and model.generate."""

from __future__ import annotations

import collections

import numpy as np
import pytest
import torch
from scipy import stats

from elenchus import models
from elenchus.engines import Sampling
from elenchus.engines.draws import choose, row_seeds, uniforms
from elenchus.engines.transformers_engine import TransformersEngine

torch.set_num_threads(1)
WORDS = [f"w{i}" for i in range(10)]
PROMPTS = ["w1", "w2 w3", "w4 w5 w6 w7 w8 w9 w1 w2 w3", "w2 w2 w2 w2", "w9 w8 w7 w6 w5"] * 3


@pytest.fixture(scope="module")
def parts():
    tokenizer = models.new_tokenizer(WORDS)
    model = models.new_model(len(tokenizer), width=32, layers=2, heads=2, context=96, seed=3)
    with torch.no_grad():  # sharper than a fresh model, so that wrong conditioning shows
        model.model.embed_tokens.weight.mul_(4)
    return model.eval(), tokenizer


def forward(model, ids: tuple[int, ...]) -> torch.Tensor:
    """Return the log-probabilities after each token, by one plain pass."""
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].log_softmax(-1)


def test_same_call_same_completions_and_other_seed_others(parts):
    engine = TransformersEngine(parts, batch_size=4)
    sampling = Sampling(max_tokens=12)
    first = engine.sample(PROMPTS, sampling, seed=5, n=3)
    assert TransformersEngine(parts, batch_size=4).sample(PROMPTS, sampling, seed=5, n=3) == first
    assert engine.sample(PROMPTS, sampling, seed=6, n=3) != first


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_samples_do_not_depend_on_the_batch(parts, batch_size):
    sampling = Sampling(max_tokens=20, top_p=0.95)
    whole = TransformersEngine(parts, batch_size=7).sample(PROMPTS[:5], sampling, seed=1, n=4)
    other = TransformersEngine(parts, batch_size=batch_size).sample(PROMPTS[:5][::-1], sampling, seed=1, n=4)[::-1]
    assert [[c.tokens for c in row] for row in whole] == [[c.tokens for c in row] for row in other]
    alone = TransformersEngine(parts, batch_size=batch_size).sample([PROMPTS[2]], sampling, seed=1, n=4)[0]
    assert [c.tokens for c in alone] == [c.tokens for c in whole[2]]


def test_samples_of_one_prompt_and_equal_prompts_differ(parts):
    rows = TransformersEngine(parts).sample(["w1 w2", "w1 w2"], Sampling(max_tokens=16, temperature=2.0), seed=0, n=4)
    assert len({c.tokens for row in rows for c in row}) == 8


def test_greedy_is_generate(parts):
    model, tokenizer = parts
    engine = TransformersEngine(parts, batch_size=4)
    for prompt, row in zip(PROMPTS[:5], engine.sample(PROMPTS[:5], Sampling(temperature=0, max_tokens=24), seed=0)):
        ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)["input_ids"]
        out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24)
        new = out[0, ids.shape[1] :].tolist()
        expected = new[: new.index(1)] if 1 in new else new
        assert row[0].tokens == tuple(expected)


def test_logprobs_are_those_of_the_untempered_model(parts):
    model, tokenizer = parts
    engine = TransformersEngine(parts, batch_size=4)
    rows = engine.sample(PROMPTS[:5], Sampling(temperature=0.7, top_k=5, max_tokens=20), seed=2, n=4)
    ended = 0
    for prompt, row in zip(PROMPTS, rows):
        ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        for completion in row:
            tokens = (*completion.tokens, tokenizer.eos_token_id) if completion.finish == "end" else completion.tokens
            ended += completion.finish == "end"
            logprobs = forward(model, (*ids, *tokens))[len(ids) - 1 : -1]
            expected = logprobs[range(len(tokens)), list(tokens)].tolist()
            assert completion.logprobs == pytest.approx(expected, abs=1e-4)
            assert completion.text == " ".join(tokenizer.convert_ids_to_tokens(completion.tokens))
    assert 0 < ended < 20  # both kinds were seen


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(max_tokens=1),
        Sampling(max_tokens=1, temperature=0.5),
        Sampling(max_tokens=1, top_k=3),
        Sampling(max_tokens=1, top_p=0.8),
        Sampling(max_tokens=1, temperature=2.0, top_k=6, top_p=0.7),
    ],
)
def test_first_tokens_follow_the_distribution(parts, sampling):
    model, tokenizer = parts
    n = 4000
    row = TransformersEngine(parts, batch_size=512).sample(["w3 w1 w4"], sampling, seed=11, n=n)[0]
    ids = tokenizer("w3 w1 w4", add_special_tokens=False)["input_ids"]
    weights = (forward(model, ids)[-1] / sampling.temperature).softmax(-1).double().numpy()
    order = np.argsort(-weights, kind="stable")
    kept = order[: sampling.top_k or None]
    share = weights[kept] / weights[kept].sum()
    kept = kept[np.cumsum(share) - share < sampling.top_p]
    expected = np.zeros_like(weights)
    expected[kept] = weights[kept] / weights[kept].sum()
    seen = collections.Counter(c.tokens[0] if c.tokens else tokenizer.eos_token_id for c in row)
    assert set(seen) <= set(kept.tolist())
    frequent = [t for t in kept if expected[t] * n >= 5]
    observed = [seen[t] for t in frequent]
    rest = n - sum(observed)
    wanted = [expected[t] * n for t in frequent]
    if n - sum(wanted) > 1e-6:
        observed, wanted = [*observed, rest], [*wanted, n - sum(wanted)]
    if len(observed) > 1:
        assert stats.chisquare(observed, wanted).pvalue > 1e-3


def test_stop_words_are_kept_and_end_the_sample(parts):
    engine = TransformersEngine(parts, batch_size=8)
    rows = engine.sample(PROMPTS[:5], Sampling(max_tokens=30, stop=("w4", "w7", "unheard")), seed=3, n=6)
    finishes = collections.Counter(c.finish for row in rows for c in row)
    assert finishes["stop"] > 5
    for completion in (c for row in rows for c in row):
        words = completion.text.split()
        assert not {"w4", "w7"} & set(words[:-1])
        assert (completion.finish == "stop") == (words[-1:] in (["w4"], ["w7"]))
        assert len(completion.logprobs) == len(completion.tokens) + (completion.finish == "end")


def test_stop_words_by_text_where_words_are_not_tokens(parts, monkeypatch):
    plain = TransformersEngine(parts).sample(PROMPTS[:5], Sampling(max_tokens=30, stop=("w4",)), seed=3, n=3)
    import elenchus.engines.batch as batch

    class ByText(batch.Stops):
        def __init__(self, tokenizer, words):
            super().__init__(tokenizer, words)
            self.ids, self.words, self.reach = self.ids[:0], words, 3

    monkeypatch.setattr(batch, "Stops", ByText)
    assert TransformersEngine(parts).sample(PROMPTS[:5], Sampling(max_tokens=30, stop=("w4",)), seed=3, n=3) == plain


def test_length_is_the_limit_and_the_context_too(parts):
    engine = TransformersEngine(parts)
    rows = engine.sample(["w1"], Sampling(max_tokens=3), seed=0, n=8)
    assert all(len(c.tokens) == 3 for c in rows[0] if c.finish == "length")
    assert any(c.finish == "length" for c in rows[0])
    long = " ".join(["w1"] * 94)
    assert all(len(c.logprobs) <= 2 for c in engine.sample([long], Sampling(max_tokens=30), seed=0, n=8)[0])
    with pytest.raises(ValueError, match="96"):
        engine.sample([long + " w1 w1"], Sampling(), seed=0)


def test_nothing_in_nothing_out(parts):
    engine = TransformersEngine(parts)
    assert engine.sample([], Sampling(), seed=0) == []
    assert engine.score([], []) == []
    with pytest.raises(ValueError, match="no tokens"):
        engine.sample([""], Sampling(), seed=0)


def test_counters(parts):
    engine = TransformersEngine(parts, batch_size=4)
    rows = engine.sample(["w1 w2 w3", "w4"], Sampling(max_tokens=9), seed=0, n=5)
    assert engine.sampled_tokens == sum(len(c.logprobs) for row in rows for c in row)
    assert engine.prompt_tokens == 4


def test_score_is_a_plain_forward(parts):
    model, tokenizer = parts
    engine = TransformersEngine(parts, batch_size=2)
    prompts, texts = ["w1 w2", "w3", "w4 w5 w6 w7"], ["w5 w6 w7", "", "w1"]
    for end in (True, False):
        for prompt, text, scored in zip(prompts, texts, engine.score(prompts, texts, end=end)):
            before = tokenizer(prompt, add_special_tokens=False)["input_ids"]
            after = tokenizer(text, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id] * end
            logprobs = forward(model, (*before, *after))[len(before) - 1 : -1]
            assert scored.tokens == tuple(after)
            assert scored.logprobs == pytest.approx(logprobs[range(len(after)), after].tolist(), abs=1e-4)


def test_score_of_a_sample_is_its_logprobs(parts):
    engine = TransformersEngine(parts, batch_size=4)
    row = engine.sample(["w3 w2"], Sampling(max_tokens=15, temperature=1.5), seed=4, n=6)[0]
    for completion in row:
        scored = engine.score(["w3 w2"], [completion.text], end=completion.finish == "end")[0]
        assert scored.logprobs == pytest.approx(completion.logprobs, abs=1e-4)


def test_kept_prefixes_change_no_sample_and_save_reading(parts):
    sampling = Sampling(max_tokens=12, stop=("w4",))
    plain, keeping = (
        TransformersEngine(parts, batch_size=8),
        TransformersEngine(parts, batch_size=8, prefix_tokens=4096),
    )
    prompts = PROMPTS[:5]
    for turn in range(3):
        rows, kept = (e.sample(prompts, sampling, seed=turn, n=3) for e in (plain, keeping))
        assert [[c.tokens for c in row] for row in rows] == [[c.tokens for c in row] for row in kept]
        prompts = [f"{p} {c.text}" for p, row in zip(prompts, rows) for c in row if c.finish == "stop"][:10]
    assert keeping.prefill_tokens < plain.prefill_tokens / 2
    before = keeping.prefill_tokens
    keeping.sample(prompts, sampling, seed=9)
    assert keeping.prefill_tokens == before
    keeping.forget()
    keeping.sample(prompts, sampling, seed=9)
    assert keeping.prefill_tokens > before


def test_prefix_pool_stays_in_its_bounds(parts):
    engine, plain = TransformersEngine(parts, batch_size=8, prefix_tokens=50), TransformersEngine(parts, batch_size=8)
    for turn in range(4):
        rows = engine.sample(PROMPTS[:5], Sampling(max_tokens=12), seed=turn, n=4)
        assert engine.prefixes.used <= 50 == len(engine.prefixes.pool)
        expected = plain.sample(PROMPTS[:5], Sampling(max_tokens=12), seed=turn, n=4)
        assert [[c.tokens for c in row] for row in rows] == [[c.tokens for c in row] for row in expected]


def test_memory_is_bounded_by_the_batch(parts, monkeypatch):
    import elenchus.engines.transformers_engine as module

    sizes = []

    class Watched(module.SlotCache):
        def __init__(self, *args):
            super().__init__(*args)
            sizes.append(self.kv.numel())

    monkeypatch.setattr(module, "SlotCache", Watched)
    engine = TransformersEngine(parts, batch_size=8)
    engine.sample(PROMPTS, Sampling(max_tokens=10), seed=0, n=1)
    engine.sample(PROMPTS, Sampling(max_tokens=10), seed=0, n=20)
    columns = 64  # (9 + 10) * 1.5 + 1, in whole 64s
    assert sizes == [2 * 2 * 8 * columns * 32]  # once, however many rows there are to sample


def test_the_model_is_left_as_it_was(parts):
    model, _ = parts
    model.train()
    attention = model.config._attn_implementation
    TransformersEngine(parts).sample(["w1"], Sampling(max_tokens=2), seed=0)
    assert model.training and model.config._attn_implementation == attention
    model.eval()


def test_a_diverged_model_is_refused(parts):
    _, tokenizer = parts
    broken = models.new_model(len(tokenizer), width=32, layers=1, heads=2, context=32, seed=0)
    with torch.no_grad():
        broken.model.norm.weight.fill_(float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        TransformersEngine((broken, tokenizer)).sample(["w1"], Sampling(), seed=0)


def test_engine_from_a_folder(parts, tmp_path):
    models.save(*parts, tmp_path)
    sampling = Sampling(max_tokens=8)
    expected = TransformersEngine(parts).sample(PROMPTS[:3], sampling, seed=1)
    assert TransformersEngine(tmp_path).sample(PROMPTS[:3], sampling, seed=1) == expected


def test_row_seeds_follow_prompt_and_place_among_equals():
    a, b, c = row_seeds(["x", "y", "x"], 2, 7)
    assert len({*a, *b, *c}) == 6
    assert row_seeds(["y", "x"], 2, 7) == [b, a]


def test_uniforms_are_uniform_and_independent_between_neighbours():
    u = uniforms(np.arange(20_000, dtype=np.uint64), np.zeros(20_000, dtype=np.int64))
    v = uniforms(np.full(20_000, 5, dtype=np.uint64), np.arange(20_000))
    for x in (u, v):
        assert x.min() >= 0 and x.max() < 1
        assert stats.kstest(x, "uniform").pvalue > 1e-3
        assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 0.03


def test_choose_never_takes_a_filtered_token():
    logits = torch.tensor([[5.0, 4.0, 3.0, -1.0]]).repeat(2, 1)
    top = torch.tensor([0.0, 1 - 2.0**-32], dtype=torch.float64)
    assert choose(logits, top, Sampling(top_k=2))[0].tolist() == [0, 1]
    assert choose(logits, top, Sampling(top_p=0.5))[0].tolist() == [0, 0]
    assert choose(logits, top, Sampling())[0].tolist() == [0, 3]
