"""Sampling from a model behind an OpenAI-compatible server: teachers and judges that are not ours to load.

What a server cannot promise is not promised here: log-probabilities are NaN where it sends none (and are those of the
distribution that it says), a seed is passed on and may be ignored, and weights behind a name may change. So the answers, not
the seed, are what is reproducible: each is kept on disk as it comes, and no request that has an answer is sent again.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from elenchus.conversation import Message
from elenchus.engines import Completion, Sampling, Scored
from elenchus.engines.client import Client
from elenchus.engines.draws import row_seeds
from elenchus.engines.settings import Served, Server
from elenchus.errors import UserError

if TYPE_CHECKING:
    from elenchus.job import Job


class OpenAIEngine:
    """The sampling protocol (`elenchus.engines.Engine`) on a server's chat or completions interface.

    work: the folder that keeps answers; another engine on it goes on where this one was. Counters: `sampled_tokens` and
    `prompt_tokens` as the server counts them (its prompt once for each sample), kept answers included, so that a stage that was
    killed reports what it cost in all.
    """

    def __init__(self, served: Served, server: Server | None = None, *, work: Path):
        self.served = served
        self.client = Client(server or Server(), work / "answers.jsonl")
        self.tokenizer = Tokens(None if served.api == "chat" else tokenizer_of(served), served.request)
        self.sampled_tokens = self.prompt_tokens = 0

    def sample(self, prompts: list[str], sampling: Sampling, seed: int, n: int = 1) -> list[list[Completion]]:
        """Return n completions for each prompt, one request each. UserError where the server cannot be asked on."""
        if sampling.top_k and self.served.api == "chat":
            raise UserError("top_k is no part of the chat interface; set top_p, or top_k to 0")
        rows = [(prompt, s) for prompt, own in zip(prompts, row_seeds(prompts, n, seed)) for s in own]
        path = "/chat/completions" if self.served.api == "chat" else "/completions"
        answers = self.client.ask(path, [self._body(prompt, sampling, s) for prompt, s in rows])
        flat = iter([self._completion(answer, sampling) for answer in answers])
        return [[next(flat) for _ in range(n)] for _ in prompts]

    def score(self, prompts: list[str], completions: list[str], end: bool = True) -> list[Scored]:
        """Raise UserError: the interface has no log-probabilities of a given text."""
        raise UserError("a server cannot score given texts; load the model with engine.kind transformers or vllm")

    # -- inside --------------------------------------------------------------------------------------------------------

    def _body(self, prompt: str, sampling: Sampling, seed: int) -> dict:
        """Return the request: only what is not the interface's default, since servers differ in what they know."""
        body = {"model": self.served.model, "max_tokens": sampling.max_tokens, "temperature": sampling.temperature}
        body["seed"] = seed % 2**31  # servers differ in how long a seed may be
        if sampling.top_p < 1:
            body["top_p"] = sampling.top_p
        if sampling.top_k:
            body["top_k"] = sampling.top_k
        if sampling.stop:
            body["stop"] = list(sampling.stop[:4])  # the interface's most; `_completion` cuts at all of them
        if self.served.api == "chat":
            return {**body, "messages": messages_of(prompt), "logprobs": True}
        return {**body, "prompt": prompt, "logprobs": 1, "add_special_tokens": False}

    def _completion(self, answer: dict, sampling: Sampling) -> Completion:
        """Return the completion in a server's answer; its tokens are those whose log-probabilities it sends."""
        used = answer.get("usage") or {}
        self.prompt_tokens += used.get("prompt_tokens", 0)
        self.sampled_tokens += used.get("completion_tokens", 0)
        choice = answer["choices"][0]
        said = choice.get("logprobs") or {}
        if self.served.api == "chat":
            text = (choice.get("message") or {}).get("content") or ""
            places = [(place["token"], place["logprob"]) for place in said.get("content") or []]
        else:
            text = choice.get("text") or ""
            places = list(zip(said.get("tokens") or [], said.get("token_logprobs") or []))
        text, stopped = cut(text, sampling.stop)
        finish = "length" if choice.get("finish_reason") == "length" and not stopped else "stop" if stopped else "end"
        if finish == "end" and choice.get("stop_reason") in sampling.stop:
            # Most servers take the stop word off; vLLM says which it was. The protocol keeps it.
            finish, text = "stop", text + choice["stop_reason"]
        # Without log-probabilities a token is a word, and its probability unknown.
        places = places or [(word, math.nan) for word in re.findall(r"\s*\S+", text)]
        tokens, logprobs = zip(*places) if places else ((), ())
        return Completion(self.tokenizer.numbered(tokens), text, logprobs, finish)


class Tokens:
    """Stands in for a tokenizer: renders prompts, and numbers the tokens that a server names by their text.

    Where the server has the chat template (`real` None), a prompt is its messages as JSON, with `request` after those that a
    critic is to answer: no server knows the critic as a role.
    """

    def __init__(self, real, request: str):
        self.real, self.request = real, request
        self.chat_template = real.chat_template if real else ""
        self.texts: list[str] = []
        self.ids: dict[str, int] = {}

    def apply_chat_template(self, messages: list[Message], *, reply: str, **how) -> str:
        """Return the prompt for a reply by role `reply`."""
        if self.real:
            return self.real.apply_chat_template(messages, reply=reply, **how)
        asked = [{"role": "user", "content": self.request}] if reply == "critic" else []
        return json.dumps([*messages, *asked], ensure_ascii=False)

    def numbered(self, texts: tuple[str, ...]) -> tuple[int, ...]:
        """Return a number for each token's text, equal for equal texts."""
        for text in texts:
            if text not in self.ids:
                self.ids[text] = len(self.texts)
                self.texts.append(text)
        return tuple(self.ids[text] for text in texts)

    def decode(self, ids: list[int]) -> str:
        """Return the text of tokens."""
        return "".join(self.texts[i] for i in ids)


def messages_of(prompt: str) -> list[Message]:
    """Return the messages in a prompt that `Tokens` rendered; UserError where text follows them."""
    try:
        messages, end = json.JSONDecoder().raw_decode(prompt)
    except json.JSONDecodeError:
        messages, end = None, 0
    if not isinstance(messages, list) or prompt[end:].strip():
        raise UserError(
            "a server's chat interface takes whole conversations, and this method continues a reply half-way (steps, "
            "roll-outs). Where the server has it, use its completions interface:\n"
            "  engine: {kind: openai, api: completions, tokenizer: <folder>, ...}"
        )
    return messages


def cut(text: str, words: tuple[str, ...]) -> tuple[str, bool]:
    """Return `text` to the end of its first stop word, and whether it holds one."""
    ends = [text.find(w) + len(w) for w in words if w in text]
    return (text[: min(ends)], True) if ends else (text, False)


def tokenizer_of(served: Served):
    """Return the tokenizer that renders prompts for the completions interface; UserError where none is named."""
    from elenchus import models

    if not (Path(served.tokenizer) / "tokenizer_config.json").is_file() or not served.tokenizer:
        raise UserError(
            f"engine.tokenizer: {served.tokenizer!r} is no folder with a tokenizer; the completions interface takes prompts that "
            "are rendered here. Name the model's folder, or let the server render:\n  engine: {kind: openai, api: chat, ...}"
        )
    return models.load_tokenizer(Path(served.tokenizer))


def for_job(job: Job, folder: Path | None = None, beside: int = 0) -> OpenAIEngine:
    """Return the engine of a stage; the server, not `folder`, has the model."""
    return OpenAIEngine(job.params.engine, Server.model_validate(job.machine.get("server", {})), work=job.work)
