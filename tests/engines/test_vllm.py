"""The sampling protocol on both engines, and the two engines beside each other."""

from __future__ import annotations

import collections
import time

import numpy as np
import pytest
import torch
from real_vllm import MACHINE, PYTHON, require_vllm
from scipy import stats

from elenchus import problems as families
from elenchus.engines import Sampling
from elenchus.engines.settings import Machine, Vllm
from elenchus.engines.vllm_engine import VllmEngine
from elenchus.errors import UserError
from elenchus.problems import chain

CLOSE = 2e-3  # log-probabilities of float32 sums in another order


def forward(plain, ids) -> torch.Tensor:
    """Return the log-probabilities after each token, by one plain pass of the transformers model."""
    with torch.no_grad():
        return plain.model(torch.tensor([list(ids)])).logits[0].float().log_softmax(-1)


def encode(plain, text: str) -> list[int]:
    return plain.tokenizer(text, add_special_tokens=False)["input_ids"]


def written(completion, plain) -> tuple[int, ...]:
    """Return all tokens that were sampled, the end token too."""
    return (*completion.tokens, *([plain.tokenizer.eos_token_id] if completion.finish == "end" else []))


# -- the protocol, on each engine ----------------------------------------------------------------------------------------


def test_same_call_same_completions_and_other_seed_others(engine, prompts):
    sampling = Sampling(max_tokens=24)
    first, again, other = (engine.sample(prompts[:8], sampling, seed=seed, n=2) for seed in (5, 5, 6))
    assert [[c.tokens for c in row] for row in first] == [[c.tokens for c in row] for row in again]
    assert [[c.tokens for c in row] for row in first] != [[c.tokens for c in row] for row in other]


def test_samples_of_one_prompt_and_equal_prompts_differ(engine, prompts):
    rows = engine.sample([prompts[0]] * 2, Sampling(max_tokens=24, temperature=2.0), seed=0, n=4)
    assert len({c.tokens for row in rows for c in row}) > 5


def test_logprobs_are_those_of_the_untempered_model(engine, plain, prompts):
    tempered = {"temperature": 1.3, "top_k": 12, "top_p": 0.98}
    rows = [
        short + long
        for short, long in zip(
            engine.sample(prompts[:8], Sampling(**tempered, max_tokens=3), seed=2),
            engine.sample(prompts[:8], Sampling(**tempered, max_tokens=60), seed=3, n=2),
        )
    ]
    finishes = collections.Counter(c.finish for row in rows for c in row)
    for prompt, row in zip(prompts, rows):
        ids = encode(plain, prompt)
        for completion in row:
            tokens = written(completion, plain)
            logprobs = forward(plain, (*ids, *tokens))[len(ids) - 1 : -1]
            assert completion.logprobs == pytest.approx(logprobs[range(len(tokens)), tokens].tolist(), abs=CLOSE)
            assert completion.text == plain.tokenizer.decode(completion.tokens)
    assert set(finishes) >= {"end", "length"}


@pytest.mark.parametrize(
    "sampling",
    [Sampling(max_tokens=1, temperature=2.0), Sampling(max_tokens=1, temperature=2.0, top_k=6, top_p=0.9)],
)
def test_first_tokens_follow_the_distribution(engine, plain, prompts, asked, sampling):
    """After `#1 3 + 4 =`, where the model is least sure."""
    prompt = f"{prompts[3]}#1 {chain.reference(asked[3])[0].rpartition(' ')[0]}"
    n, ids = 1000, encode(plain, prompt)
    row = engine.sample([prompt], sampling, seed=11, n=n)[0]
    weights = (forward(plain, ids)[-1] / sampling.temperature).softmax(-1).double().numpy()
    order = np.argsort(-weights, kind="stable")[: sampling.top_k or None]
    share = weights[order] / weights[order].sum()
    kept = order[np.cumsum(share) - share < sampling.top_p]
    expected = weights[kept] / weights[kept].sum() * n
    seen = collections.Counter(written(c, plain)[0] for c in row)
    assert set(seen) <= set(kept.tolist())
    often = expected >= 5
    observed = [*(seen[t] for t in kept[often]), sum(seen[t] for t in kept[~often])]
    wanted = [*expected[often], expected[~often].sum()]
    keep = [k for k, w in enumerate(wanted) if w > 1e-9]
    pvalue = stats.chisquare([observed[k] for k in keep], [wanted[k] for k in keep]).pvalue if len(keep) > 1 else 1.0
    print(f"chi-square over {len(keep)} kinds of tokens: p = {pvalue:.3f}")
    assert pvalue > 1e-3


def test_stop_words_are_kept_and_end_the_sample(engine, prompts):
    rows = engine.sample(prompts[:16], Sampling(max_tokens=40, stop=("#2", "answer", "unheard")), seed=3, n=2)
    finishes = collections.Counter(c.finish for row in rows for c in row)
    assert finishes["stop"] > 5
    for completion in (c for row in rows for c in row):
        words = completion.text.split()
        assert not {"#2", "answer"} & set(words[:-1])
        assert (completion.finish == "stop") == (words[-1:] in (["#2"], ["answer"]))
        assert len(completion.logprobs) == len(completion.tokens) + (completion.finish == "end")


def test_length_is_the_limit_and_the_context_too(engine, plain, prompts):
    assert all(len(c.logprobs) <= 3 for c in engine.sample(prompts[:4], Sampling(max_tokens=3), seed=0, n=2)[0])
    context = plain.config.max_position_embeddings
    long = " ".join(["1"] * (context - 2))
    assert all(len(c.logprobs) <= 2 for c in engine.sample([long], Sampling(max_tokens=30), seed=0, n=2)[0])
    with pytest.raises(ValueError, match=str(context)):
        engine.sample([long + " 1 1"], Sampling(), seed=0)


def test_nothing_in_nothing_out(engine):
    assert engine.sample([], Sampling(), seed=0) == []
    assert engine.score([], []) == []
    with pytest.raises(ValueError, match="no tokens"):
        engine.sample([""], Sampling(), seed=0)


def test_counters(engine, plain, prompts):
    before = engine.sampled_tokens, engine.prompt_tokens
    rows = engine.sample(prompts[:2], Sampling(max_tokens=9), seed=0, n=3)
    assert engine.sampled_tokens - before[0] == sum(len(c.logprobs) for row in rows for c in row)
    assert engine.prompt_tokens - before[1] == sum(len(encode(plain, p)) for p in prompts[:2])


def test_score_is_a_plain_forward(engine, plain, prompts):
    texts = ["1 + 1 = 2", "", "answer 3"]
    for end in (True, False):
        for prompt, text, scored in zip(prompts, texts, engine.score(prompts[:3], texts, end=end)):
            before, after = encode(plain, prompt), encode(plain, text) + [plain.tokenizer.eos_token_id] * end
            logprobs = forward(plain, (*before, *after))[len(before) - 1 : -1]
            assert scored.tokens == tuple(after)
            assert scored.logprobs == pytest.approx(logprobs[range(len(after)), after].tolist(), abs=CLOSE)


# -- the two beside each other -------------------------------------------------------------------------------------------


def test_greedy_outputs_are_equal_up_to_numerical_ties(plain, vllm, prompts):
    sampling = Sampling(temperature=0.0, max_tokens=48)
    pairs = list(zip(plain.sample(prompts, sampling, seed=0), vllm.sample(prompts, sampling, seed=0)))
    ties = 0
    for prompt, ((a,), (b,)) in zip(prompts, pairs):
        x, y = written(a, plain), written(b, plain)
        if x == y:
            continue
        k = next((k for k, (s, t) in enumerate(zip(x, y)) if s != t), min(len(x), len(y)) - 1)
        logprobs = forward(plain, (*encode(plain, prompt), *x[:k]))[-1]
        assert abs(float(logprobs[x[k]] - logprobs[y[k]])) < CLOSE, f"no tie: {a.text!r} and {b.text!r}"
        ties += 1
    print(f"greedy: {len(pairs) - ties} of {len(pairs)} outputs equal, {ties} apart at a tie")
    assert ties <= len(pairs) // 8


def test_samples_are_of_one_distribution(plain, vllm, prompts, asked):
    """Permutations within prompts: under the null, which engine wrote a sample says nothing."""
    sampling, n = Sampling(temperature=1.0, max_tokens=48), 8
    drawn = [e.sample(prompts, sampling, seed=21, n=n) for e in (plain, vllm)]
    values = np.array(
        [
            [
                [(sum(c.logprobs), len(c.logprobs), right(problem, c.text)) for c in row]
                for problem, row in zip(asked, rows, strict=True)
            ]
            for rows in drawn
        ]
    )  # (engine, prompt, sample, quantity)
    pooled, rng = np.concatenate(values, axis=1), np.random.default_rng(0)
    for q, name in enumerate(("log-probability", "length", "pass rate")):
        pool = pooled[..., q]

        def distance(rows: np.ndarray) -> float:
            return stats.ks_2samp(rows[:, :n].ravel(), rows[:, n:].ravel(), method="asymp").statistic

        found = distance(pool)
        null = [distance(rng.permuted(pool, axis=1)) for _ in range(200)]
        pvalue = (1 + sum(d >= found for d in null)) / 201
        means = values[..., q].mean(axis=(1, 2))
        print(f"{name}: {means[0]:.4f} transformers, {means[1]:.4f} vllm, distance {found:.4f}, p = {pvalue:.3f}")
        assert pvalue > 5e-3


def right(problem, text: str) -> bool:
    family = families.load(problem.family)
    solution = family.parse(problem, text.strip())
    return bool(solution.ok and family.check_answer(problem, solution.answer))


def test_samples_hardly_depend_on_the_batch(vllm, prompts):
    sampling = Sampling(max_tokens=40)
    whole = vllm.sample(prompts[:32], sampling, seed=1)
    other = [vllm.sample(prompts[i : i + 4][::-1], sampling, seed=1)[::-1] for i in range(0, 32, 4)]
    pairs = [(a.tokens, b.tokens) for (a,), (b,) in zip(whole, (row for part in other for row in part))]
    same = sum(a == b for a, b in pairs)
    print(f"in another batch: {same} of {len(pairs)} samples equal")
    assert same >= len(pairs) - 2


def test_prefixes_are_read_once(vllm):
    stem = " ".join(f"{k % 4} +" for k in range(66))  # 132 tokens: more than a block of vLLM's cache on a CPU
    before = vllm.prefill_tokens
    vllm.sample([stem + " 1"], Sampling(max_tokens=2), seed=0)
    first = vllm.prefill_tokens - before
    vllm.sample([stem + " 2"], Sampling(max_tokens=2), seed=0)
    assert first == 133 and vllm.prefill_tokens - before - first <= 5


def test_speed_beside_the_other_engine(plain, vllm, prompts):
    """Printed, not judged: docs/engines.md has the ratio."""
    sampling, spent = Sampling(max_tokens=48), []
    for e in (plain, vllm):
        tokens, begin = e.sampled_tokens, time.monotonic()
        e.sample(prompts, sampling, seed=2, n=8)
        spent.append((time.monotonic() - begin) / (e.sampled_tokens - tokens))
    print(f"tokens per second, vllm over transformers: {spent[0] / spent[1]:.2f}")
    assert all(s > 0 for s in spent)


# -- what can go wrong ---------------------------------------------------------------------------------------------------


def test_too_little_room_for_keys_and_values_is_said(folder, tmp_path, prompts):
    require_vllm()
    small = Machine(python=str(PYTHON), cache_gb=1e-5)
    engine = VllmEngine(folder, Vllm(), small, batch_size=4, work=tmp_path, log=tmp_path / "log")
    with pytest.raises(UserError, match=r"(?s)do not fit.*cache_gb.*its whole log"):
        engine.sample(prompts[:1], Sampling(), seed=0)
    assert engine.worker is None and (tmp_path / "log").stat().st_size


def test_what_vllm_cannot_is_refused(vllm, prompts):
    with pytest.raises(UserError, match=r"temperature: vLLM samples at 0 to 2, found 2\.5"):
        vllm.sample(prompts[:1], Sampling(temperature=2.5), seed=0)


def test_a_lora_adapter_samples_as_the_merged_model(folder, plain, tmp_path, prompts):
    require_vllm()
    import copy
    import json

    from safetensors.torch import save_file

    torch.manual_seed(0)
    merged, weights, rank = copy.deepcopy(plain.model), {}, 4
    for i, layer in enumerate(merged.model.layers):
        for name in ("q_proj", "v_proj"):
            linear = getattr(layer.self_attn, name)
            a, b = torch.randn(rank, linear.in_features) * 0.1, torch.randn(linear.out_features, rank) * 0.1
            base = f"base_model.model.model.layers.{i}.self_attn.{name}"
            weights |= {f"{base}.lora_A.weight": a, f"{base}.lora_B.weight": b}
            with torch.no_grad():
                linear.weight += b @ a * 2.0  # lora_alpha over r
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    save_file(weights, adapter / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], "bias": "none"}
    config |= {"base_model_name_or_path": str(folder), "task_type": "CAUSAL_LM"}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    engine = VllmEngine(adapter, Vllm(), MACHINE, batch_size=8, work=tmp_path, log=tmp_path / "log")
    apart = []
    for prompt, (one,) in zip(prompts[:4], engine.sample(prompts[:4], Sampling(max_tokens=16), seed=0)):
        before, tokens = encode(plain, prompt), written(one, plain)
        with torch.no_grad():
            logprobs = merged(torch.tensor([[*before, *tokens]])).logits[0].log_softmax(-1)[len(before) - 1 : -1]
        assert one.logprobs == pytest.approx(logprobs[range(len(tokens)), tokens].tolist(), abs=CLOSE)
        base = forward(plain, (*before, *tokens))[len(before) - 1 : -1][range(len(tokens)), tokens]
        apart += (base - torch.tensor(one.logprobs)).abs().tolist()
    assert max(apart) > 10 * CLOSE  # the adapter did something
    engine.close()
