"""Requests to an OpenAI-compatible server: in parallel, tried again where that may help, paid for once, never above a cap."""

from __future__ import annotations

import hashlib
import json
import os
import random
import threading
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

import httpx2

from elenchus.engines.settings import Server
from elenchus.errors import UserError

PASSING = {408, 409, 425, 429, 500, 502, 503, 504}  # these may go away by themselves
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0  # seconds before the first new try, which double with each


class Client:
    """Asks a server, and keeps each answer in `kept`, a file of JSON lines {"key", "answer"}, as soon as it is there.

    A request's key is the digest of its path and body. Neither holds the API key, which is read from the environment and is
    in no file and no message. `cost`: in the currency of the server's prices, kept answers included.
    """

    def __init__(self, server: Server, kept: Path):
        self.server, self.kept = server, kept
        if (server.prompt_price or server.sampled_price) and not server.cost_cap:
            raise UserError(
                "server.cost_cap: prices are set but no cap; say what one stage may spend, for example\n  server: {cost_cap: 5.0}"
            )
        host = httpx2.URL(server.url)
        if os.environ.get(server.key) and host.scheme == "http" and host.host not in LOOPBACK:
            raise UserError(f"server.url: {server.url} would carry the key of {server.key} unencrypted; use https://")
        self.answers = read_kept(kept)
        self.cost = sum(map(self.price, self.answers.values()))
        self.lock, self.begun, self.reserved = threading.Condition(), [], 0.0
        self.stopped = threading.Event()

    def price(self, answer: dict) -> float:
        """Return what an answer has cost."""
        used = answer.get("usage") or {}
        read, written = used.get("prompt_tokens", 0), used.get("completion_tokens", 0)
        return (read * self.server.prompt_price + written * self.server.sampled_price) / 1e6

    def ask(self, path: str, bodies: list[dict]) -> list[dict]:
        """Return the answers, in order; those that are kept are not asked for again.

        UserError where the server is not there, refuses the key or the request, keeps failing, or the cap is reached.
        """
        keys = [key_of(path, body) for body in bodies]
        missing = {key: body for key, body in zip(keys, bodies) if key not in self.answers}
        if missing:
            self.kept.parent.mkdir(parents=True, exist_ok=True)
            self.stopped.clear()
            # trust_env off: neither a proxy nor a .netrc of the machine sees requests meant for this address
            headers = {"Authorization": f"Bearer {key}"} if (key := os.environ.get(self.server.key)) else {}
            with (
                httpx2.Client(headers=headers, timeout=self.server.timeout, trust_env=False) as http,
                ThreadPoolExecutor(self.server.parallel) as pool,
                self.kept.open("a") as out,
            ):
                waiting = [pool.submit(self._one, http, out, path, k, body) for k, body in missing.items()]
                try:
                    done, _ = wait(waiting, return_when=FIRST_EXCEPTION)
                    for future in done:
                        future.result()
                except UserError:  # those that wait for a try end; those in flight come in, and are kept
                    self._stop(pool)
                    raise
                except BaseException:  # a signal: nothing is waited for
                    self._stop(pool)
                    http.close()
                    raise
        return [self.answers[key] for key in keys]

    def _stop(self, pool: ThreadPoolExecutor) -> None:
        """Let no request begin any more."""
        self.stopped.set()
        with self.lock:
            self.lock.notify_all()
        pool.shutdown(wait=False, cancel_futures=True)

    def _one(self, http: httpx2.Client, out, path: str, key: str, body: dict) -> None:
        """Ask until there is an answer, and keep it."""
        most = self._reserve(body)
        try:
            answer = self._tried(http, self.server.url + path, body)
            with self.lock:
                self.answers[key] = answer
                self.cost += self.price(answer)
                out.write(json.dumps({"key": key, "answer": answer}) + "\n")
                out.flush()
        finally:
            with self.lock:
                self.reserved -= most
                self.lock.notify_all()

    def _reserve(self, body: dict) -> float:
        """Return what a request can cost at most, set aside under the cap; wait where requests in flight may cost less.

        A token is at least a byte. UserError where the cap leaves too little.
        """
        size = len(json.dumps(body.get("messages", body.get("prompt"))).encode())
        most = (size * self.server.prompt_price + body["max_tokens"] * self.server.sampled_price) / 1e6
        cap = self.server.cost_cap
        with self.lock:
            while cap and self.reserved and self.cost + self.reserved + most > cap and not self.stopped.is_set():
                self.lock.wait()
            if cap and self.cost + most > cap:
                raise UserError(
                    f"server.cost_cap: {cap:g} is reached: {self.cost:.4g} spent on {len(self.answers)} answers, and the next may cost "
                    f"{most:.4g}. Raise it, and run again; what is answered is kept and not paid for twice:\n"
                    f"  server: {{cost_cap: {2 * max(cap, most):g}}}"
                )
            self.reserved += most
        return most

    def _tried(self, http: httpx2.Client, url: str, body: dict) -> dict:
        """Return the answer of the first try that has one."""
        failed, after = "", 0.0
        for k in range(self.server.retries + 1):
            if k:
                # Full jitter, so that requests refused together do not come back together.
                pause = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (k - 1)) * random.uniform(0.5, 1.0)
                self.stopped.wait(max(pause, after))
            self._pace()
            if self.stopped.is_set():
                raise UserError("stopped")  # seen by nobody: another request's failure is what is told
            after = 0.0
            try:
                reply = http.post(url, json=body)
            except httpx2.ConnectError as e:
                failed = f"nothing answers there ({e})"
                continue
            except httpx2.TransportError as e:  # a connection that broke, or a time-out
                failed = f"{type(e).__name__} {e}".strip()
                continue
            if reply.status_code in PASSING:
                failed, after = f"status {reply.status_code}: {words_of(reply)}", wait_said(reply)
                if "insufficient_quota" not in reply.text:  # said with 429, and no waiting mends it
                    continue
            return self._read(reply)
        raise UserError(
            f"server.url: {self.server.url} gave no answer in {self.server.retries + 1} tries; the last: {failed}.\n"
            "Start the server, or say where it is, in params.yaml:\n  server: {url: http://127.0.0.1:8000/v1}"
        )

    def _read(self, reply: httpx2.Response) -> dict:
        """Return the answer in a reply; UserError where it refuses or is none."""
        if reply.status_code in (401, 403):
            found = "is set, but refused" if os.environ.get(self.server.key) else "is not set"
            raise UserError(
                f"server.key: {self.server.url} wants a valid key, and the environment variable {self.server.key} {found} "
                f"(status {reply.status_code}: {words_of(reply)}). Set it where you start the workflow:\n  export {self.server.key}=..."
            )
        if reply.status_code != 200:
            raise UserError(f"{self.server.url} refuses the request (status {reply.status_code}: {words_of(reply)})")
        try:
            answer = reply.json()
            answer["choices"][0]["finish_reason"]
        except (ValueError, KeyError, IndexError, TypeError):
            raise UserError(
                f"{self.server.url} answers, but not as an OpenAI-compatible server does: {reply.text[:200]!r}"
            ) from None
        return answer

    def _pace(self) -> None:
        """Wait until one more request keeps within so many a minute."""
        if not self.server.per_minute:
            return
        while not self.stopped.is_set():
            with self.lock:
                now = time.monotonic()
                self.begun = [t for t in self.begun if t > now - 60]
                if len(self.begun) < self.server.per_minute:
                    self.begun.append(now)
                    return
                pause = self.begun[0] + 60 - now
            self.stopped.wait(pause)


def key_of(path: str, body: dict) -> str:
    """Return the digest that names a request."""
    return hashlib.sha256(json.dumps([path, body], sort_keys=True).encode()).hexdigest()[:32]


def read_kept(path: Path) -> dict[str, dict]:
    """Return {key: answer} of a file of answers; a last line that a kill cut short is taken off."""
    if not path.exists():
        return {}
    found, whole = {}, 0
    data = path.read_bytes()
    for line in data.splitlines(keepends=True):
        try:
            row = json.loads(line)
            found[row["key"]] = row["answer"]
        except (ValueError, KeyError):
            break
        whole += len(line)
    if whole < len(data):
        with path.open("r+b") as f:
            f.truncate(whole)
    return found


def wait_said(reply: httpx2.Response) -> float:
    """Return the seconds that a server asks to wait (header Retry-After), 0 where it says none, a minute at most."""
    try:
        return min(float(reply.headers.get("retry-after", 0)), LONGEST_WAIT)
    except ValueError:  # a date: our own waits must do
        return 0.0


def words_of(reply: httpx2.Response) -> str:
    """Return what a server says is wrong, in one line."""
    try:
        said = reply.json()
        said = said.get("error", said)
        text = said.get("message", said) if isinstance(said, dict) else said
    except (ValueError, AttributeError):
        text = reply.text
    return " ".join(str(text).split())[:200]
