"""The rows in flight of one call of `sample`: admitted, advanced one token at a time, retired, moved together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from elenchus.engines import Sampling
from elenchus.engines.draws import choose, uniforms
from elenchus.engines.slots import Recorder

if TYPE_CHECKING:
    from elenchus.engines.transformers_engine import TransformersEngine

FORWARD_TOKENS = 2048  # tokens of one forward pass over whole prompts: more of them leave the processor's caches


class Batch:
    """The rows in flight of one call of `sample`. Row state is in arrays over rows; a free row has key None."""

    def __init__(
        self,
        engine: TransformersEngine,
        encoded: list[tuple[int, ...]],
        seeds: list[list[int]],
        sampling: Sampling,
        size: int,
    ):
        self.engine, self.encoded, self.seeds, self.sampling, self.size = engine, encoded, seeds, sampling, size
        self.longest = max(map(len, encoded))
        span = self.longest + sampling.max_tokens
        # Spare columns: half a span more, and all columns have to move only once in that many steps.
        self.cache = engine.cache(size, span + span // 2 + 1)
        self.columns, model = self.cache.columns, engine.model
        self.keys: list[tuple[int, int] | None] = [None] * size
        self.active = np.zeros(size, dtype=bool)
        self.start = np.zeros(size, dtype=np.int64)  # first column of the row
        self.token = np.zeros(size, dtype=np.int64)  # next to be read
        self.count = np.zeros(size, dtype=np.int64)  # tokens sampled
        self.limit = np.zeros(size, dtype=np.int64)
        self.seed = np.zeros(size, dtype=np.uint64)
        self.tokens = np.zeros((size, sampling.max_tokens), dtype=np.int64)
        self.logprobs = np.zeros((size, sampling.max_tokens), dtype=np.float32)
        self.mask = torch.zeros(size, self.columns, dtype=model.dtype, device=model.device)
        self.width = 0  # rows [0, width) go through the model
        self.stops = Stops(engine.tokenizer, sampling.stop)

    @property
    def live(self) -> int:
        """Return the rows in use."""
        return int(self.active.sum())

    @property
    def free(self) -> int:
        """Return the rows not in use."""
        return self.size - self.live

    def admit(self, keys: list[tuple[int, int]]) -> None:
        """Give free rows to new samples: read all of each prompt but its last token, once for all its samples."""
        if not self.live:
            self.cache.column = self.longest
        rows = np.flatnonzero(~self.active)[: len(keys)]
        wanted: dict[tuple[int, ...], list[int]] = {}
        for row, (i, j) in zip(rows, keys):
            ids = self.encoded[i]
            self.keys[row], self.active[row], self.count[row], self.token[row] = (i, j), True, 0, ids[-1]
            self.start[row] = self.cache.column - (len(ids) - 1)
            self.limit[row] = min(self.sampling.max_tokens, self.engine.config.max_position_embeddings - len(ids))
            self.seed[row] = self.seeds[i][j]
            if len(ids) > 1:
                wanted.setdefault(ids[:-1], []).append(row)
        unread = []
        for prefix, places in wanted.items():
            slots = self.engine.prefixes.find(prefix)
            if slots is None:
                unread.append(prefix)
            else:
                kept = self.engine.prefixes.get(slots)
                for row in places:
                    self.cache.place(row, kept)
        for group in groups([len(p) for p in unread], self.size):
            recorder = Recorder()
            self.engine.read([unread[k] for k in group], keep=1, recorder=recorder)
            for k, kv in zip(group, recorder.all()):
                for row in wanted[unread[k]]:
                    self.cache.place(row, kv[..., kv.shape[3] - len(unread[k]) :, :])
        self.width = max(self.width, int(rows[-1]) + 1)
        self._hide()

    def step(self) -> dict[tuple[int, int], tuple]:
        """Read one token in every row, draw the next; return {key: (tokens, logprobs, finish)} of finished rows."""
        cache, w = self.cache, self.width
        if cache.column == self.columns:
            # New prompts must fit left of the next column, so it stays at or right of the longest prompt.
            by = min(int(self.start[self.active].min()), cache.column - self.longest)
            cache.shift(by)
            self.start = np.maximum(self.start - by, 0)  # those of free rows mean nothing
            self._hide()
        device = self.mask.device
        cache.rows, cache.low = w, int(self.start[self.active].min())
        logits_BV = self.engine.model(
            input_ids=torch.from_numpy(self.token[:w, None]).to(device),
            attention_mask=self.mask[:w, None, None, cache.low : cache.column + 1],
            position_ids=torch.from_numpy(np.maximum(cache.column - self.start[:w, None], 0)).to(device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        cache.column += 1
        uniform_B = torch.from_numpy(uniforms(self.seed[:w], self.count[:w])).to(device)
        token_B, logprob_B = choose(logits_BV.float(), uniform_B, self.sampling)
        token = token_B.cpu().numpy()
        rows = np.arange(w)
        place = np.minimum(self.count[:w], self.sampling.max_tokens - 1)  # free rows count on; keep them in bounds
        self.tokens[rows, place], self.logprobs[rows, place] = token, logprob_B.cpu().numpy()
        self.token[:w] = token
        self.count[:w] += 1
        ended = np.isin(token, self.engine.ends)
        stopped = self.stops(self.tokens, self.count, token, self.active)
        done = self.active[:w] & (ended | stopped | (self.count[:w] >= self.limit[:w]))
        return dict(
            self._finish(row, "end" if ended[row] else "stop" if stopped[row] else "length")
            for row in np.flatnonzero(done)
        )

    def compact(self) -> None:
        """Move rows from the end into free places, so that the pass shrinks with the rows."""
        live = self.live
        if self.width - live < max(1, self.width // 8):
            return
        holes = np.flatnonzero(~self.active[:live])
        movers = np.flatnonzero(self.active[live : self.width]) + live
        for to, row in zip(holes, movers):
            self.cache.kv[:, :, to] = self.cache.kv[:, :, row]
            self.keys[to] = self.keys[row]
        for state in (self.start, self.token, self.count, self.limit, self.seed, self.tokens, self.logprobs):
            state[holes] = state[movers]
        self.active[:] = np.arange(self.size) < live
        self.width = live
        self._hide()

    def _hide(self) -> None:
        """Make the mask anew: a row does not see columns before its own first."""
        before = torch.arange(self.columns)[None] < torch.from_numpy(self.start)[:, None]
        self.mask.copy_(hide(before, self.mask.dtype))

    def _finish(self, row: int, finish: str) -> tuple[tuple[int, int], tuple]:
        """Free a row; return its key and (tokens without the end token, log-probabilities, finish)."""
        key, k, start = self.keys[row], int(self.count[row]), int(self.start[row])
        tokens, prompt = tuple(self.tokens[row, :k].tolist()), self.encoded[key[0]]
        self.active[row], self.keys[row] = False, None
        self.engine.sampled_tokens += k
        if self.engine.prefixes.capacity:
            read = (*prompt, *tokens[:-1])  # the last token was drawn, but not read
            self.engine.prefixes.add(prompt[:-1], read, self.cache, row, start)
        return key, (tokens[:-1] if finish == "end" else tokens, tuple(self.logprobs[row, :k].tolist()), finish)


class Stops:
    """Tells which rows have just written a stop word: by token where words are tokens, else by text."""

    def __init__(self, tokenizer, words: tuple[str, ...]):
        self.tokenizer, self.words, self.ids = tokenizer, words, np.empty(0, dtype=np.int64)
        if type(tokenizer.backend_tokenizer.model).__name__ == "WordLevel":
            vocabulary = tokenizer.get_vocab()  # a word outside it is never written
            self.ids, self.words = np.array([vocabulary[w] for w in words if w in vocabulary], dtype=np.int64), ()
        else:
            # A token may hold half a word, or a word and more: look at as many tokens as the longest word can take.
            self.reach = max((len(w) for w in words), default=0) + 1

    def __call__(self, tokens: np.ndarray, count: np.ndarray, token: np.ndarray, active: np.ndarray) -> np.ndarray:
        """Return which rows stop, given each row's tokens, their count, the last of them, and whether it is live."""
        stopped = np.isin(token, self.ids)
        if self.words:
            for row in np.flatnonzero(active[: len(token)]):
                text = self.tokenizer.decode(tokens[row, max(0, count[row] - self.reach) : count[row]])
                stopped[row] = any(w in text for w in self.words)
        return stopped


def groups(lengths: list[int], rows: int) -> Iterator[list[int]]:
    """Yield groups of indices of like length: at most `rows`, and at most FORWARD_TOKENS tokens with their padding."""
    group: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if group and (len(group) == rows or (len(group) + 1) * lengths[group[0]] > FORWARD_TOKENS):
            yield group
            group = []
        group.append(i)
    if group:
        yield group


def hide(hidden: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return the additive mask of what is hidden. Finite, so that a wholly hidden row gives no NaN."""
    return torch.zeros(hidden.shape, dtype=dtype).masked_fill_(hidden, torch.finfo(dtype).min)
