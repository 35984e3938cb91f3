"""A process in another environment that answers requests through files, and dies with this one."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import weakref
from pathlib import Path

POLL = 0.005  # seconds between looks for an answer; calls take tenths of seconds at least
TAIL = 12  # lines of the log that a message shows


class WorkerFailed(Exception):
    """A request that the worker could not answer. kind: as `vllm_worker.kind_of` names it, or "killed" or "died"."""

    def __init__(self, kind: str, text: str):
        super().__init__(text)
        self.kind = kind


class Worker:
    """A process that runs `script` with `python` on a folder of files (`vllm_worker` says how they speak).

    Its output is added to `log`. It ends when this object does, or this process.
    """

    def __init__(self, python: Path, script: Path, settings: dict, work: Path, log: Path):
        self.log, self.asked = log, 0
        work.mkdir(parents=True, exist_ok=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="worker-", dir=work)).absolute()
        (self.folder / "settings.json").write_text(json.dumps(settings))
        with log.open("ab") as out:
            self.begin = out.tell()
            # -I: this environment's PYTHONPATH is not the other's. A process group of its own: its children die with it, and
            # Ctrl-C is for this process. Not a session: its share of the processor would no longer be this one's.
            self.process = subprocess.Popen(
                [python, "-I", script, self.folder, str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                process_group=0,
            )
        self.close = weakref.finalize(self, end, self.process, self.folder)
        try:
            self.started = self._wait(self.folder / "started.json")
        except BaseException:
            self.close()
            raise

    def ask(self, request: dict) -> dict:
        """Return the answer to a request; WorkerFailed where there is none."""
        name = str(self.asked)
        self.asked += 1
        path, answer = self.folder / f"{name}.json", self.folder / f"{name}.answer.json"
        path.write_text(json.dumps(request))
        with contextlib.suppress(BrokenPipeError):  # it has died: `_wait` says how
            self.process.stdin.write(f"{name}\n".encode())
            self.process.stdin.flush()
        found = self._wait(answer)
        path.unlink()
        answer.unlink()
        return found

    def _wait(self, path: Path) -> dict:
        while not path.exists():
            code = self.process.poll()
            if code is not None and not path.exists():
                kind = "killed" if code == -signal.SIGKILL else "died"
                raise WorkerFailed(kind, f"{how(code)}. Its last lines:\n{self.tail()}")
            time.sleep(POLL)
        found = json.loads(path.read_text())
        if "error" in found:
            raise WorkerFailed(found["error"], found["text"])
        return found

    def tail(self) -> str:
        """Return the last lines that this worker has printed."""
        with self.log.open("rb") as f:
            f.seek(self.begin)
            lines = f.read().decode(errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-TAIL:]) or "  (nothing)"


def how(code: int) -> str:
    """Return in words how a process ended."""
    if code >= 0:
        return f"it ended with exit code {code}"
    hint = "; the system kills so what takes too much memory" if -code == signal.SIGKILL else ""
    return f"it was ended by {signal.Signals(-code).name}{hint}"


def end(process: subprocess.Popen, folder: Path) -> None:
    """End a worker and all its children, and remove its files."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdin.close()
    shutil.rmtree(folder, ignore_errors=True)
