"""Whether two TeX expressions are equal, by math-verify in a process that is killed when it takes too long."""

from __future__ import annotations

import atexit
import functools
import json
import selectors
import subprocess
import sys
import threading

from elenchus.errors import UserError

MAX_LENGTH = 400  # characters of an expression; a longer one is equal to itself only
SECONDS = 5.0  # the worker gives up after 3 by itself where Python code runs; a call into C that does not end is killed
START_SECONDS = 120.0  # importing sympy on a busy machine

_lock = threading.Lock()
_worker: subprocess.Popen | None = None


@functools.lru_cache(maxsize=65_536)
def equal(given: str, gold: str) -> bool:
    """Return whether the expressions are equal; False where either cannot be read, or in `SECONDS` no answer is found."""
    if max(len(given), len(gold)) > MAX_LENGTH:
        return False
    with _lock:
        global _worker
        if _worker is None or _worker.poll() is not None:
            _worker = _start()
        try:
            _worker.stdin.write(json.dumps([given, gold]).encode() + b"\n")
            _worker.stdin.flush()
            return json.loads(_line(_worker, SECONDS)) is True
        except (TimeoutError, BrokenPipeError, ValueError):
            _stop()
            return False


def _start() -> subprocess.Popen:
    """Return a worker that is ready; UserError where it cannot begin."""
    command = [sys.executable, "-m", "elenchus.answers.worker"]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        _line(worker, START_SECONDS)
    except (TimeoutError, ValueError) as e:
        worker.kill()
        said = worker.stderr.read().decode(errors="replace").strip().splitlines()
        raise UserError(
            f"answers: the process that compares TeX expressions did not start ({said[-1] if said else e}); "
            "is math-verify installed?\n  pip install --no-deps --require-hashes -r requirements/laptop.txt"
        ) from None
    worker.stderr.close()
    return worker


def _line(worker: subprocess.Popen, seconds: float) -> bytes:
    """Return the worker's next line; TimeoutError after `seconds`, ValueError where it has ended."""
    with selectors.DefaultSelector() as ready:
        ready.register(worker.stdout, selectors.EVENT_READ)
        if not ready.select(seconds):
            raise TimeoutError(f"no answer in {seconds:g} s")
    line = worker.stdout.readline()
    if not line:
        raise ValueError("it ended")
    return line


@atexit.register
def _stop() -> None:
    global _worker
    if _worker is not None:
        _worker.kill()
        _worker.wait()
        for pipe in (_worker.stdin, _worker.stdout):
            pipe.close()
        _worker = None
