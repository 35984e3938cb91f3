"""Running programs that a model wrote: in a process of its own, without network, within limits, with nothing to break.

    outcome = run("assert 1 + 1 == 2")
    outcome.ok, outcome.reason          (True, "")

Layers, each used where the machine has it; `Outcome.confined` names those that held:

    limits     always: time, memory, processes, size and number of open files, output; a clean environment and a temporary
               folder, removed afterwards; the whole process group is killed at the end
    user       as root: a user id that nobody else has, so that the limit on processes is the program's own
    processes  a namespace of processes: the program sees and can kill only its own, and they all end with it
    network    a namespace of networks that has none
    tcp        Landlock: no TCP connections (kernel 6.7), which is what is left where network namespaces are not allowed
    files      Landlock: reads Python and system libraries, writes its temporary folder, nothing else (kernel 5.13);
               without it the interpreter refuses writes elsewhere, which stops accidents and not attacks

A program can still make its own tests succeed by tampering with them in the same process: success says that it ran to
its end, no more.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import secrets
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CHILD = Path(__file__).with_name("sandbox_child.py")
READABLE = ("/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/localtime")


@dataclass(frozen=True)
class Limits:
    """seconds: of wall time, and of processor time for each process. memory: bytes of address space of each process.

    file_size: bytes of one file. output: bytes of standard output and error together; more is a failure.
    """

    seconds: float = 10.0
    memory: int = 2 << 30
    processes: int = 16
    open_files: int = 64
    file_size: int = 16 << 20
    output: int = 1 << 20


@dataclass(frozen=True)
class Outcome:
    """ok: the program ran to its end. reason: "" or why not: "time", "output", "memory", or its last line of error.

    confined: which layers held, see the module. seconds: wall time.
    """

    ok: bool
    reason: str
    stdout: str
    stderr: str
    seconds: float
    confined: tuple[str, ...]


@cache
def namespaces() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return (the command that puts a process into namespaces, what they confine), both () where none is allowed."""
    if not shutil.which("unshare"):
        return (), ()
    processes = ("--pid", "--fork", "--kill-child", "--ipc")
    tries = [("--net", *processes)] if os.geteuid() == 0 else []
    tries += [("--user", "--map-current-user", "--net", *processes), ("--user", "--map-current-user", "--net")]
    for options in tries:
        command = ("unshare", *options)
        if subprocess.run([*command, "true"], capture_output=True, timeout=60, check=False).returncode == 0:
            return command, ("network", "processes") if "--pid" in options else ("network",)
    return (), ()


@cache
def readable_by_all() -> bool:
    """Return whether any user can run the interpreter: not where it lies below a private folder."""
    command = [sys.executable, "-I", "-c", "import json"]
    try:
        done = subprocess.run(
            command, user=_user(), group=_user(), extra_groups=[], cwd="/", capture_output=True, check=False
        )
        return done.returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


@cache
def landlock() -> bool:
    """Return whether the kernel has Landlock."""
    return ctypes.CDLL(None).syscall(444, None, 0, 1) >= 1


def own_user() -> bool:
    """Return whether programs get a user of their own: as root, where Python's files can be read then."""
    return os.geteuid() == 0 and (readable_by_all() or landlock())


def missing() -> str:
    """Return one plain sentence on the layers that this machine lacks, "" where all are there."""
    held = run("pass").confined
    lacks = [x for x in ("network", "processes", "files") if x not in held]
    return f"the sandbox does without: {', '.join(lacks)} (see elenchus/sandbox.py)" if lacks else ""


def run(program: str, limits: Limits | None = None, stdin: str = "") -> Outcome:
    """Run a Python program and return its outcome; whatever it does, this returns soon after `limits.seconds`.

    stdin: what the program can read from standard input, up to 64 KiB.
    """
    limits = limits or Limits()
    prefix, confined = namespaces()
    user = _user() if own_user() else 0
    folder = Path(tempfile.mkdtemp(prefix="elenchus-sandbox-"))
    token, source = secrets.token_hex(16), program.encode(errors="replace")
    if user:
        os.chown(folder, user, user)
    told_at, status = os.pipe()
    told = {
        "folder": str(folder),
        "length": len(source),
        "user": user,
        "keep_reading": bool(user) and not readable_by_all(),
        "status": status,
        "token": token,
        "limits": _limits(limits, bool(user), "processes" in confined),
        "readable": [*READABLE, sys.prefix, sys.base_prefix],
    }
    try:
        began = time.monotonic()
        process = subprocess.Popen(
            [*prefix, sys.executable, "-I", "-B", str(CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"},
            pass_fds=[status],
            start_new_session=True,
        )
        os.close(status)
        status = -1
        data = json.dumps(told).encode() + b"\n" + source + stdin.encode()[: 1 << 16]
        streams, ended = _watch(process, told_at, data, limits)
        seconds = time.monotonic() - began
        said, _, finished = streams[told_at].partition(b"\n")
        inside = json.loads(said) if said.startswith(b"{") else {}
        held = ["limits", *(["user"] if user else []), *confined, *(x for x in ("tcp", "files") if inside.get(x))]
        out, err = (streams[s].decode(errors="replace") for s in (process.stdout, process.stderr))
        ok = not ended and finished == token.encode()
        return Outcome(ok, "" if ok else ended or _reason(err, process.returncode), out, err, seconds, tuple(held))
    finally:
        for descriptor in (told_at, status):
            if descriptor >= 0:
                os.close(descriptor)
        shutil.rmtree(folder, ignore_errors=True)


def _watch(process: subprocess.Popen, told_at: int, data: bytes, limits: Limits) -> tuple[dict, str]:
    """Feed and read the process until it ends or breaks a limit, then kill its group.

    Return ({stream: bytes}, "" or the limit that it broke).
    """
    streams: dict = {process.stdout: b"", process.stderr: b"", told_at: b""}
    deadline, ended = time.monotonic() + limits.seconds, ""
    with selectors.DefaultSelector() as ready:
        os.set_blocking(process.stdin.fileno(), False)
        ready.register(process.stdin, selectors.EVENT_WRITE)
        for stream in streams:
            ready.register(stream, selectors.EVENT_READ)
        while ready.get_map() and not ended:
            left = deadline - time.monotonic()
            if left <= 0:
                ended = "time"
                break
            for key, _ in ready.select(min(left, 0.2)):
                if key.fileobj is process.stdin:
                    try:
                        data = data[os.write(process.stdin.fileno(), data[:65536]) :]
                    except BlockingIOError:
                        continue
                    except BrokenPipeError:
                        data = b""
                    if not data:
                        ready.unregister(process.stdin)
                        process.stdin.close()
                    continue
                chunk = os.read(key.fd, 65536)
                if not chunk:
                    ready.unregister(key.fileobj)
                streams[key.fileobj] += chunk
                if len(streams[process.stdout]) + len(streams[process.stderr]) > limits.output:
                    ended = "output"
            # a child that outlives the program keeps the streams open: what it holds is not waited for
            if process.poll() is not None and not ready.select(0):
                break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if not stream.closed:
            with contextlib.suppress(BrokenPipeError):
                stream.close()
    return streams, ended


def _limits(limits: Limits, own: bool, namespace: bool) -> dict[str, int]:
    """Return the resource limits by name; that on processes counts a user's, so it needs a user or a namespace of one's own."""
    chosen = {
        "RLIMIT_CPU": int(limits.seconds) + 1,
        "RLIMIT_AS": limits.memory,
        "RLIMIT_NOFILE": limits.open_files,
        "RLIMIT_FSIZE": limits.file_size,
        "RLIMIT_CORE": 0,
    }
    if own or (namespace and os.geteuid() != 0):
        chosen["RLIMIT_NPROC"] = limits.processes
    return chosen


def _user() -> int:
    """Return a user id for one run, far above those that systems give."""
    return 1_000_000_000 + secrets.randbelow(1_000_000_000)


def _reason(err: str, code: int | None) -> str:
    last = next((line for line in reversed(err.strip().splitlines()) if line.strip()), "")
    return "memory" if last.startswith("MemoryError") else last[:300] or f"it ended with exit code {code}"
