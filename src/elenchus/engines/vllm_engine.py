"""Sampling and scoring with vLLM, which lives in an environment of its own and is spoken to through files.

Equal to the transformers engine: prompts, tokens and stop words (the same tokenizer reads them here), the distribution,
whose log-probabilities are meant, what seeds depend on. Not equal: the samples of a seed (other random draws), and the last
digits of log-probabilities, which in vLLM depend on what else is in the batch.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from elenchus import environment, models
from elenchus.engines import Completion, Sampling, Scored, vllm_worker
from elenchus.engines.draws import row_seeds
from elenchus.engines.settings import Machine, Vllm
from elenchus.engines.worker import Worker, WorkerFailed
from elenchus.errors import CorruptResult, UserError

if TYPE_CHECKING:
    from elenchus.job import Job

HOTTEST = 2.0  # vLLM refuses higher temperatures


class VllmEngine:
    """The sampling protocol (`elenchus.engines.Engine`) on vLLM, in a worker process that starts with the first call.

    source: a model folder, or a folder with a LoRA adapter, whose configuration names the folder of its base. batch_size:
    sequences in flight; halved, and said so, where they do not fit the memory. work: where files are exchanged; log: where
    everything that vLLM prints is kept. Counters as those of the transformers engine.
    """

    def __init__(
        self,
        source: Path | str,
        settings: Vllm | None = None,
        machine: Machine | None = None,
        *,
        batch_size: int = 256,
        threads: int = 1,
        work: Path,
        log: Path,
    ):
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; it must be at least 1")
        self.settings, self.machine = settings or Vllm(), machine or Machine()
        self.folder, self.batch_size, self.threads, self.work, self.log = Path(source), batch_size, threads, work, log
        self.lora, self.base = lora_of(self.folder)
        self.tokenizer = models.load_tokenizer(self.folder if has_tokenizer(self.folder) else self.base)
        own, self.ends = facts_of(self.base, self.tokenizer)
        self.context = min(self.settings.context or own, own)
        self.worker: Worker | None = None
        self.sampled_tokens = self.prompt_tokens = self.prefill_tokens = 0

    def sample(self, prompts: list[str], sampling: Sampling, seed: int, n: int = 1) -> list[list[Completion]]:
        """Return n completions for each prompt, deterministic as the protocol says, but for rounding."""
        if not prompts or n < 1:
            return [[] for _ in prompts]
        encoded = self._encode(prompts)
        longest = max(map(len, encoded))
        if longest >= self.context:
            raise ValueError(
                f"a prompt has {longest} tokens, which leaves no room in the model's context of {self.context}"
            )
        if sampling.temperature > HOTTEST:
            raise UserError(
                f"temperature: vLLM samples at 0 to {HOTTEST:g}, found {sampling.temperature:g}; transformers at any"
            )
        tokens, words = self._stops(sampling.stop)
        rows = [
            {"prompt": i, "seed": s, "max_tokens": min(sampling.max_tokens, self.context - len(encoded[i]))}
            for i, own in enumerate(row_seeds(prompts, n, seed))
            for s in own
        ]
        asked = {"do": "sample", "prompts": encoded, "rows": rows, "stop_words": words}
        asked |= {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k}
        found = self._ask({**asked, "stop_tokens": [*self.ends, *tokens]})
        self.prompt_tokens += sum(map(len, encoded))
        self.prefill_tokens += found["read"]
        flat = iter(self._completions(found["rows"]))
        return [[next(flat) for _ in range(n)] for _ in prompts]

    def score(self, prompts: list[str], completions: list[str], end: bool = True) -> list[Scored]:
        """Return each completion's token log-probabilities given its prompt (temperature 1).

        vLLM wants room for one token more: a sequence as long as the context is refused with ValueError.
        """
        if len(prompts) != len(completions):
            raise ValueError(f"{len(prompts)} prompts but {len(completions)} completions")
        if not prompts:
            return []
        tail = [self.tokenizer.eos_token_id] if end else []
        before, after = self._encode(prompts), [[*ids, *tail] for ids in self._encode(completions, empty=True)]
        sequences = [[*p, *c] for p, c in zip(before, after)]
        longest = max(map(len, sequences))
        if longest >= self.context:
            raise ValueError(
                f"a prompt and its completion have {longest} tokens; vLLM scores {self.context - 1} at most"
            )
        self.prompt_tokens += sum(map(len, sequences))
        self.prefill_tokens += sum(map(len, sequences))
        found = self._ask({"do": "score", "sequences": sequences, "last": [len(ids) for ids in after]})
        return [Scored(tuple(ids), tuple(self._finite(own))) for ids, own in zip(after, found["rows"], strict=True)]

    def close(self) -> None:
        """End the worker; the next call starts another."""
        if self.worker is not None:
            self.worker.close()
            self.worker = None

    # -- inside --------------------------------------------------------------------------------------------------------

    def _encode(self, texts: list[str], empty: bool = False) -> list[list[int]]:
        ids = self.tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]
        if not empty and not all(ids):
            raise ValueError("a prompt has no tokens")
        return ids

    def _stops(self, words: tuple[str, ...]) -> tuple[list[int], list[str]]:
        """Return (tokens, words) that stop: by token where words are tokens, else by text, as the other engine does."""
        if type(self.tokenizer.backend_tokenizer.model).__name__ != "WordLevel":
            return [], list(words)
        vocabulary = self.tokenizer.get_vocab()  # a word outside it is never written
        return [vocabulary[w] for w in words if w in vocabulary], []

    def _completions(self, rows: list[list]) -> list[Completion]:
        """Return what the worker's rows say: end tokens off, finishes named, texts decoded."""
        self.sampled_tokens += sum(len(tokens) for tokens, _, _ in rows)
        ended = [by in self.ends for _, _, by in rows]
        kept = [tokens[:-1] if over else tokens for (tokens, _, _), over in zip(rows, ended)]
        texts = self.tokenizer.backend_tokenizer.decode_batch(kept, skip_special_tokens=False)
        return [
            Completion(
                tuple(own), text, tuple(self._finite(logprobs)), "end" if over else "length" if by is None else "stop"
            )
            for own, text, over, (_, logprobs, by) in zip(kept, texts, ended, rows)
        ]

    def _finite(self, logprobs: list[float]) -> list[float]:
        if not all(map(math.isfinite, logprobs)):
            raise ValueError("the model gives logits that are not finite: it has diverged, or its weights are damaged")
        return logprobs

    def _ask(self, request: dict) -> dict:
        """Return the worker's answer, from a fresh worker with half the batch where the memory was too small."""
        while True:
            try:
                if self.worker is None:
                    self.worker = Worker(
                        self._python(), Path(vllm_worker.__file__), self._settings(), self.work, self.log
                    )
                return self.worker.ask(request)
            except WorkerFailed as e:
                killed = e.kind == "killed" and self.worker is not None  # at its start the batch does not matter
                self.close()
                if (not killed and e.kind != "memory") or self.batch_size == 1:
                    raise UserError(self._plain(e)) from None
                self.batch_size //= 2
                what = "was killed, most often for too much memory" if killed else "ran out of memory"
                print(f"  vLLM {what}; on with {self.batch_size} sequences in flight", file=sys.stderr, flush=True)

    def _plain(self, e: WorkerFailed) -> str:
        """Return the plain message of a failure that a smaller batch does not mend."""
        share, gb = self.machine.memory_share, self.machine.cache_gb
        less = f"{{cache_gb: {gb / 2:.2g}}}" if gb else f"{{memory_share: {share / 2:.2g}}}"
        cache = (
            f"the model, and the room for keys and values that it is to take (cache_gb {gb:g}, memory_share {share:g}), do not "
            f"fit the memory. In params.yaml, for example\n  engine: {less}"
        )
        mends = {
            "memory": "the model does not fit the memory, even with one sequence in flight. In params.yaml, split it over GPUs "
            "or cut its context, for example\n  engine: {tensor_parallel: 2, context: 4096}",
            "room": f"its keys and values do not fit the memory that it may take (memory_share {share}, cache_gb {gb}, "
            f"context {self.context}). In params.yaml, for example\n  engine: {{cache_gb: {max(1.0, 2 * gb):g}}}",
            "cache": cache,
            "killed": f"its process was killed: most often {cache}",
        }
        return f"vLLM: {mends.get(e.kind, 'its process failed.')}\n{e}\nits whole log: {self.log}"

    def _python(self) -> Path:
        """Return the Python of vLLM's environment; UserError where there is none."""
        path = Path(
            self.machine.python
        ).absolute()  # not resolved: a link is how an environment's Python knows its home
        if not path.exists():
            raise UserError(
                f"engine.python: {path} is not there; the vLLM engine needs an environment of its own. Make it with\n  make vllm\n"
                "or let transformers sample, in params.yaml:\n  engine: {kind: transformers}"
            )
        return path

    def _settings(self) -> dict:
        """Return what the worker starts with."""
        # One process: it schedules alike each time, and dies with us.
        variables = {**environment.OFFLINE, "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
        variables |= {"OMP_NUM_THREADS": str(self.threads), "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
        return {
            "model": str(self.base.absolute()),
            "log": str(self.log.absolute()),
            "lora": self.lora,
            "context": self.context,
            "batch_size": self.batch_size,
            "dtype": self.settings.dtype,
            "tensor_parallel": self.settings.tensor_parallel,
            "memory_share": self.machine.memory_share,
            "cache_gb": self.machine.cache_gb,
            "environment": variables,
        }


def lora_of(folder: Path) -> tuple[dict | None, Path]:
    """Return (adapter's folder and rank, folder of the base model); (None, folder) where it holds a whole model.

    CorruptResult where the adapter's configuration names no folder with a model.
    """
    path = folder / "adapter_config.json"
    if not path.exists():
        return None, folder
    said = json.loads(path.read_text())
    base = Path(said.get("base_model_name_or_path") or "")
    if not (base / "config.json").is_file():
        raise CorruptResult(
            f"{path}: base_model_name_or_path is {str(base)!r}, which is no folder with a model on this machine"
        )
    return {"folder": str(folder.absolute()), "rank": int(said.get("r", 16))}, base


def has_tokenizer(folder: Path) -> bool:
    """Return whether a model folder holds a tokenizer."""
    return (folder / "tokenizer.json").is_file() or (folder / "tokenizer_config.json").is_file()


def facts_of(folder: Path, tokenizer) -> tuple[int, list[int]]:
    """Return (context in tokens, tokens that end a reply: the tokenizer's and the generation config's)."""
    from transformers import AutoConfig, GenerationConfig

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as e:
        raise CorruptResult(f"{folder}: cannot load this model: {e}") from e
    configured = None
    if (folder / "generation_config.json").is_file():
        configured = GenerationConfig.from_pretrained(folder, local_files_only=True).eos_token_id
    ids = {tokenizer.eos_token_id, *(configured if isinstance(configured, list) else [configured])} - {None}
    if not ids:
        raise ValueError("neither the tokenizer nor the generation config names an end token")
    return config.get_text_config().max_position_embeddings, sorted(ids)


def for_job(job: Job, folder: Path, beside: int = 0) -> VllmEngine:
    """Return the engine of a stage on the model in `folder`; it shares the memory with `beside` others."""
    import torch

    machine = Machine.model_validate(job.machine.get("engine", {}))
    machine = machine.model_copy(update={"memory_share": machine.memory_share / (1 + beside)})
    return VllmEngine(
        folder,
        job.params.engine,
        machine,
        batch_size=job.params.batch_size,
        threads=torch.get_num_threads(),  # the stage's own number: results depend on it
        work=job.work,
        log=job.log("vllm"),
    )
