"""From an item to the text that a model reads: prompt files, worked examples, chat templates, a plain rendering.

A prompt file is a Jinja template in parts, each headed by who speaks; the last part, empty, names who replies:

    {# reader: final #}
    == user ==
    {{ question }}
    == assistant ==

`reader` says how a reply is read (`reading.py`); `words` are the two that a verifier's probability is of, the good one
first. Templates see question, answer (of yes-or-no sets, to name the choice), options, meta, solution, steps, critique and
partial. The item's text is data: marks in it head no part.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from elenchus import conversation
from elenchus.errors import UserError
from elenchus.problems import Problem

PART = re.compile(r"^== (\w+) ==[ \t]*\n", re.MULTILINE)
FACT = re.compile(r"^\{# (reader|words): (.+?) #\}\n", re.MULTILINE)
READERS = ("final", "code", "judgment", "brackets", "boxed_index", "family")
SPEAKERS = {"user": "Question", "assistant": "Answer", "critic": "Critique"}  # of the plain rendering


@dataclass(frozen=True)
class Prompt:
    """A prompt file, read. parts: (who speaks, template) in order. reply: who replies. digest: of the file's text."""

    name: str
    parts: tuple[tuple[str, str], ...]
    reply: str
    reader: str
    words: tuple[str, ...]
    digest: str

    @property
    def follows_critique(self) -> bool:
        """Return whether the prompt shows a critique: somebody has to write one first."""
        return any("critique" in _undeclared(template) for _, template in self.parts)

    def messages(self, problem: Problem, **shown) -> list[conversation.Message]:
        """Return the conversation about one item; `shown`: solution, steps, critique, partial."""
        given = {
            "question": problem.prompt,
            "answer": problem.answer if problem.answer in ("yes", "no", "true", "false") else "",
            "options": problem.meta.get("options", ()),
            "meta": problem.meta,
            "solution": "",
            "steps": (),
            "critique": "",
            "partial": False,
            **shown,
        }
        return [{"role": role, "content": _template(text).render(given).strip()} for role, text in self.parts]


@dataclass(frozen=True)
class Rendered:
    """A prompt as a model reads it. unknown: how many of its tokens are the vocabulary's "unknown"."""

    text: str
    tokens: int
    unknown: int


@dataclass
class Renderer:
    """Renders conversations for one tokenizer. shots: worked examples, (request, reply), that stand before each."""

    tokenizer: object
    shots: Sequence[tuple[str, str]] = field(default_factory=tuple)

    @property
    def how(self) -> str:
        """Return in words how conversations are rendered."""
        return "the tokenizer's chat template" if self.tokenizer.chat_template else "plain: Question, Answer"

    def __call__(self, messages: list[conversation.Message], reply: str) -> Rendered:
        """Return the prompt's text and its tokens."""
        template = self.tokenizer.chat_template or ""
        before = [m for u, r in self.shots for m in ({"role": "user", "content": u}, {"role": reply, "content": r})]
        if not template:
            text = plain([*before, *messages], reply, self.tokenizer.bos_token or "")
        elif "critic" in template:
            text = conversation.render(self.tokenizer, [*before, *messages], reply)
        else:  # only user and assistant speak, in turn
            one = "\n\n".join(m["content"] for m in messages)
            before = [{**m, "role": "user" if m["role"] == "user" else "assistant"} for m in before]
            turns = [*before, {"role": "user", "content": one}]
            text = conversation.render(self.tokenizer, turns, "assistant")
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        unknown = self.tokenizer.unk_token_id
        return Rendered(text, len(ids), 0 if unknown is None else sum(i == unknown for i in ids))


def plain(messages: Sequence[conversation.Message], reply: str, begin: str = "") -> str:
    """Return a conversation as plain text, for a model without a chat template; it ends where the reply begins."""
    said = [f"{SPEAKERS[m['role']]}: {m['content']}" for m in messages]
    return begin + "\n\n".join([*said, f"{SPEAKERS[reply]}:"])


def cut(text: str) -> str:
    """Return a reply to a plain prompt up to where the model goes on with a turn that is not its own."""
    return re.split(rf"\n+(?:{'|'.join(SPEAKERS.values())}):", text, maxsplit=1)[0]


@cache
def read(name: str, text: str) -> Prompt:
    """Return the prompt of a file's text; UserError that says what is wrong with it."""
    pieces = PART.split(text)
    facts = dict(FACT.findall(pieces[0]))
    speakers, bodies = pieces[1::2], pieces[2::2]

    def no(found: str, allowed: str) -> UserError:
        return UserError(f"prompt {name}: {found}; {allowed}")

    if len(speakers) < 2 or bodies[-1].strip():
        raise no(
            "no part without text at its end", "it has parts '== user ==' and so on; the last, empty, names who replies"
        )
    strange = sorted(set(speakers) - set(SPEAKERS))
    if strange:
        raise no(f"{strange[0]!r} speaks", f"speakers: {', '.join(SPEAKERS)}")
    reader, words = facts.get("reader", ""), tuple(facts.get("words", "").split())
    if not (reader in READERS or len(words) == 2):
        raise no(
            f"its reader is {reader!r}",
            f"its first line is {{# reader: ... #}} with one of {', '.join(READERS)}, or {{# words: A B #}}",
        )
    parts = tuple(zip(speakers[:-1], bodies[:-1]))
    known = {"question", "answer", "options", "meta", "solution", "steps", "critique", "partial"}
    for _, body in parts:
        lost = _undeclared(body, name) - known
        if lost:
            raise no(f"it shows {min(lost)!r}", f"a prompt can show {', '.join(sorted(known))}")
    return Prompt(name, parts, speakers[-1], reader, words, hashlib.sha256(text.encode()).hexdigest())


@cache
def _environment():
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    return SandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


@cache
def _template(text: str):
    return _environment().from_string(text)


@cache
def _undeclared(text: str, name: str = "") -> frozenset[str]:
    """Return the variables that a template shows."""
    from jinja2 import TemplateSyntaxError, meta

    try:
        return frozenset(meta.find_undeclared_variables(_environment().parse(text)))
    except TemplateSyntaxError as e:
        raise UserError(f"prompt {name}: not a Jinja template: {e.message}") from None
