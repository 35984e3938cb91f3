"""Prompts are conversations: lists of messages, with the critic as a third speaker.

    solve     user: question                                        -> assistant: solution
    critique  user: question, assistant: solution                   -> critic: critique
    refine    user: question, assistant: solution, critic: critique -> assistant: refinement

All three share their prefix, so a search or a multi-turn loop re-uses what an engine has cached. A message's content is
text today; a list of parts (text, image) is the form that chat templates of vision models take, and passes through.
"""

from __future__ import annotations

Message = dict[str, str]
ROLES = ("user", "assistant", "critic")


def solve(question: str) -> list[Message]:
    """Return the conversation that asks for a solution."""
    return [{"role": "user", "content": question}]


def critique(question: str, solution: str) -> list[Message]:
    """Return the conversation that asks for a critique of `solution`."""
    return [*solve(question), {"role": "assistant", "content": solution}]


def refine(question: str, solution: str, critique_text: str) -> list[Message]:
    """Return the conversation that asks for a refinement of `solution` under `critique_text`."""
    return [*critique(question, solution), {"role": "critic", "content": critique_text}]


def render(tokenizer, messages: list[Message], reply: str) -> str:
    """Return the prompt text for a reply by role `reply`, through the tokenizer's chat template.

    The seed model's template knows the critic as a role of its own. A template that knows only user and assistant gets
    the critic's messages as the user's (Critique-RL's form of the second turn).
    """
    if reply not in ROLES:
        raise ValueError(f"reply role {reply!r} is not one of {ROLES}")
    if "critic" not in (tokenizer.chat_template or ""):
        messages = [{**m, "role": "user" if m["role"] == "critic" else m["role"]} for m in messages]
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, reply=reply)
