"""Whether two TeX expressions are equal, by math-verify in a process that is killed when it takes too long."""

from __future__ import annotations

import atexit
import functools
import json
import os
import re
import selectors
import subprocess
import sys
import threading
import time
from pathlib import Path

from elenchus.errors import UserError

MAX_LENGTH = 400  # characters of an expression; a longer one is equal to itself only
SECONDS = 2.5  # of processor time; the worker gives up by itself before that, unless one call into C does not end
TOWER = re.compile(r"\d\}*\^\{*\d+\}*\^\{*\d|\^\{?\d{5,}")  # numbers of more digits than anyone wants to compute
START_SECONDS = 120.0  # of processor time, importing sympy
CLOCK_SECONDS = 300.0  # on the clock: a worker that is stopped or waits uses no processor time, and would never be late

_lock = threading.Lock()
_worker: subprocess.Popen | None = None


@functools.lru_cache(maxsize=65_536)
def equal(given: str, gold: str) -> bool:
    """Return whether the expressions are equal; False where either cannot be read, or in `SECONDS` no answer is found."""
    if max(len(given), len(gold)) > MAX_LENGTH or TOWER.search(given):
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
    """Return the worker's next line; TimeoutError after `seconds` of its processor time or `CLOCK_SECONDS` on the clock.

    ValueError where it has ended.
    """
    began, since = _spent(worker.pid), time.monotonic()
    with selectors.DefaultSelector() as ready:
        ready.register(worker.stdout, selectors.EVENT_READ)
        while not ready.select(0.25):
            if _spent(worker.pid) - began > seconds or time.monotonic() - since > CLOCK_SECONDS:
                raise TimeoutError(f"no answer in {seconds:g} s")
    line = worker.stdout.readline()
    if not line:
        raise ValueError("it ended")
    return line


def spent() -> float:
    """Return the processor time of the process that compares, in seconds; 0 where none runs."""
    return _spent(_worker.pid) if _worker is not None else 0.0


def _spent(pid: int) -> float:
    """Return the processor time that a process has used, in seconds; where there is no /proc, the clock's."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return time.monotonic()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@atexit.register
def _stop() -> None:
    global _worker
    if _worker is not None:
        _worker.kill()
        _worker.wait()
        for pipe in (_worker.stdin, _worker.stdout):
            pipe.close()
        _worker = None
