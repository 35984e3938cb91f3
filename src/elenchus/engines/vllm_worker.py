"""The vLLM side of `vllm_engine`: a process in vLLM's own environment, which need not hold this package.

    <python of .venv-vllm> vllm_worker.py FOLDER PARENT

FOLDER/settings.json says what to start; FOLDER/started.json answers. Then each line of stdin names a request: it is read
from FOLDER/<name>.json and answered in FOLDER/<name>.answer.json, {"error": kind, "text": ...} where it failed. Everything
that vLLM prints goes where stdout and stderr do: the log. The process ends with its stdin, or with its parent.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
import traceback
from pathlib import Path

# torch's and vLLM's words for memory. With the first a smaller batch may help (a GPU's, a CPU's), with the second nothing but
# more room for keys and values, with the third less of it
SMALLER_HELPS = ("out of memory", "can't allocate memory")
MORE_ROOM = ("No available memory for the cache blocks", "larger than the available KV cache")
LESS_ROOM = ("less than desired", "less than requested memory")
# What vLLM prints, and no more than prints, when a process of tensor parallelism dies
RANK_DIED = re.compile(r"Worker proc \S+ died unexpectedly \(exit code: (-?\w+)\)")
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # of adapters, as vLLM makes room for them


def main(folder: Path, parent: int) -> int:
    """Start vLLM, answer until stdin ends; return the exit code."""
    die_with(parent)
    settings = json.loads((folder / "settings.json").read_text())
    begin = Path(settings["log"]).stat().st_size
    os.environ.update(settings["environment"])
    try:
        llm = start(settings)
    except Exception as e:
        answer(folder / "started.json", failure(e, starting=True))
        return 1
    import vllm

    answer(folder / "started.json", {"vllm": vllm.__version__})
    for line in sys.stdin:
        name = line.strip()
        try:
            request = json.loads((folder / f"{name}.json").read_text())
            found = {"sample": sample, "score": score}[request["do"]](llm, settings, request)
        except Exception as e:
            found = failure(e)
            if settings["tensor_parallel"] > 1:
                found = lost_rank(Path(settings["log"]), begin) or found
        answer(folder / f"{name}.answer.json", found)
    return 0


def die_with(parent: int) -> None:
    """Ask Linux to kill this process when its parent dies, however it dies; elsewhere the end of stdin must do."""
    if sys.platform.startswith("linux"):
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL, 0, 0, 0)  # 1: PR_SET_PDEATHSIG
        if os.getppid() != parent:  # it died before we could ask
            os._exit(1)


def start(settings: dict):
    """Return the LLM. A model on disk only, its weights safetensors only, none of its code."""
    import torch
    from vllm import LLM

    tensor_parallel = settings["tensor_parallel"]
    return LLM(
        model=settings["model"],
        load_format="safetensors",
        trust_remote_code=False,
        dtype=settings["dtype"],
        max_model_len=settings["context"],
        max_num_seqs=settings["batch_size"],
        tensor_parallel_size=tensor_parallel,
        distributed_executor_backend="mp" if tensor_parallel > 1 else None,
        gpu_memory_utilization=settings["memory_share"],
        kv_cache_memory_bytes=int(settings["cache_gb"] * 2**30) or None,
        enable_prefix_caching=True,
        logprobs_mode="raw_logprobs",  # of the untempered, unfiltered distribution
        generation_config="vllm",  # the model's own file may hold filters; ours are said with each request
        enforce_eager=not torch.cuda.is_available(),  # on a CPU, compiling takes longer than it saves
        enable_lora=settings["lora"] is not None,
        max_lora_rank=next(r for r in RANKS if r >= settings["lora"]["rank"]) if settings["lora"] else 16,
        seed=0,  # each request has its own
    )


def adapter(settings: dict):
    """Return the LoRA request of every call, None without an adapter."""
    if settings["lora"] is None:
        return None
    from vllm.lora.request import LoRARequest

    return LoRARequest("adapter", 1, settings["lora"]["folder"])


def sample(llm, settings: dict, request: dict) -> dict:
    """Return {"rows": [[tokens, log-probabilities, stopped by]], "read": prompt tokens not found in the cache}.

    stopped by: a token's id, "text" for a stop word found in the text, None for the length.
    """
    from vllm import SamplingParams

    params = [
        SamplingParams(
            temperature=request["temperature"],
            top_p=request["top_p"],
            top_k=request["top_k"],
            max_tokens=row["max_tokens"],
            seed=row["seed"],
            stop=request["stop_words"] or None,
            stop_token_ids=request["stop_tokens"],
            include_stop_str_in_output=True,
            ignore_eos=True,  # stop_tokens holds them
            logprobs=0,  # the sampled token's alone
            detokenize=bool(request["stop_words"]),
            skip_special_tokens=False,
        )
        for row in request["rows"]
    ]
    prompts = [{"prompt_token_ids": request["prompts"][row["prompt"]]} for row in request["rows"]]
    rows, read = [], 0
    for out in llm.generate(prompts, params, use_tqdm=False, lora_request=adapter(settings)):
        done = out.outputs[0]
        tokens = list(done.token_ids)
        logprobs = [place[token].logprob for token, place in zip(tokens, done.logprobs, strict=True)]
        stopped = None if done.finish_reason == "length" else done.stop_reason
        rows.append([tokens, logprobs, "text" if isinstance(stopped, str) else stopped])
        read += len(out.prompt_token_ids) - (out.num_cached_tokens or 0)
    return {"rows": rows, "read": read}


def score(llm, settings: dict, request: dict) -> dict:
    """Return {"rows": [log-probabilities of the last `last` tokens of each sequence]}."""
    from vllm import SamplingParams

    params = SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False)
    prompts = [{"prompt_token_ids": ids} for ids in request["sequences"]]
    rows = []
    for out, last in zip(
        llm.generate(prompts, params, use_tqdm=False, lora_request=adapter(settings)), request["last"], strict=True
    ):
        ids, places = out.prompt_token_ids, out.prompt_logprobs
        rows.append([places[k][ids[k]].logprob for k in range(len(ids) - last, len(ids))])
    return {"rows": rows}


def failure(error: Exception, starting: bool = False) -> dict:
    """Return what a failed request is answered with, and print the traceback to the log."""
    traceback.print_exc()
    sys.stderr.flush()
    text = f"{type(error).__name__}: {error}"
    return {"error": kind_of(text, starting), "text": text}


def kind_of(text: str, starting: bool) -> str:
    """Return what failed: "room" (too little for keys and values), "cache" (too much), "memory", or "failed".

    An error from a process of tensor parallelism arrives as text.
    """
    if any(w in text for w in MORE_ROOM):
        return "room"
    # on a CPU nothing that vLLM allocates at its start depends on the batch
    if any(w in text for w in LESS_ROOM) or (starting and SMALLER_HELPS[1] in text):
        return "cache"
    if any(w in text for w in ("MemoryError", "OutOfMemory", *SMALLER_HELPS)):
        return "memory"
    return "failed"


def lost_rank(log: Path, begin: int) -> dict | None:
    """Return the answer where a process of tensor parallelism has died, None else; the error itself speaks of what follows.

    log: where vLLM prints, read from `begin` on, for two seconds at most: vLLM notices the death in a thread of its own.
    """
    for _ in range(20):
        with log.open("rb") as f:
            f.seek(begin)
            found = RANK_DIED.search(f.read().decode(errors="replace"))
        if found:
            killed = found[1] in (str(-signal.SIGKILL), "None")  # None: it was looked for too early
            return {"error": "killed" if killed else "failed", "text": found[0]}
        time.sleep(0.1)
    return None


def answer(path: Path, found: dict) -> None:
    """Write an answer, whole or not at all."""
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps(found))
    os.replace(aside, path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
