r"""The process that compares symbolic answers: a pair of TeX expressions a line in, a verdict a line out, both JSON.

Only TeX is read (math-verify's grammar, which builds expressions without evaluating text as code); math-verify's
reading of plain expressions goes through Python's `eval` and is not used. Exact arithmetic on towers of powers can
take for ever inside one C call, which no signal interrupts: hence a process of its own, that `symbolic.py` can kill.
"""

from __future__ import annotations

import json
import logging
import resource
import signal
import sys

MEMORY = 3 << 30  # bytes of address space
SECONDS = 1.0  # of processor time for a pair: verdicts must not depend on how busy the machine is


class Late(BaseException):
    """The pair took too long; no `except Exception` on the way stops it."""


def main() -> None:
    """Serve until the input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from math_verify import LatexExtractionConfig, parse, verify

    logging.disable(logging.CRITICAL)  # what math-verify logs is the text that it could not read
    signal.signal(signal.SIGVTALRM, _late)
    read = (LatexExtractionConfig(),)

    def expression(text: str) -> list:
        return parse(f"${text}$", read, fallback_mode="no_fallback", parsing_timeout=None)

    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        given, gold = json.loads(line)
        try:
            signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS, 0.1)  # again and again, for some code catches everything
            a, b = expression(given), expression(gold)
            same = bool(a and b) and bool(verify(b, a, strict=True, timeout_seconds=None))
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        except (Exception, Late):  # whatever an unreadable expression causes: not the same
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            same = False
        print(json.dumps(same), flush=True)


def _late(*_) -> None:
    raise Late


if __name__ == "__main__":
    main()
