"""Programs that models write: right ones pass, hostile ones do no harm and fail."""

import os
import signal
import subprocess
import sys
import time

import pytest
from real import FIXTURES, REAL, needs_real

from elenchus import benchmarks, sandbox
from elenchus.sandbox import Limits, run

SHORT = Limits(seconds=2.5, memory=512 << 20, processes=8)


def test_right_and_wrong_programs():
    right = run("import math\nprint(math.comb(5, 2))\nassert input() == 'hello'", stdin="hello\n")
    assert right.ok and right.stdout == "10\n" and right.reason == "" and "limits" in right.confined
    wrong = run("assert 1 + 1 == 3, 'sum'")
    assert not wrong.ok and wrong.reason == "AssertionError: sum"
    assert "SyntaxError" in run("def f(:").reason
    assert run("class A: pass\nassert A.__module__ == '__main__'\nassert __name__ == '__main__'").ok


def test_what_this_machine_lacks_is_said():
    held, lacks = run("pass").confined, sandbox.missing()
    for layer in ("network", "processes", "files"):
        assert (layer in held) != (layer in lacks)


HOSTILE = {
    "endless loop": ("while True: pass", "time"),
    "sleep": ("import time; time.sleep(1000)", "time"),
    "memory": ("x = 'a' * (1 << 34)", "memory"),
    "memory by and by": ("x = []\nwhile True: x.append(bytearray(1 << 24))", "memory"),
    "fork bomb": ("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", "time"),
    "output": ("while True: print('x' * 9999)", "output"),
    "errors": ("import sys\nwhile True: sys.stderr.write('x' * 9999)", "output"),
    "large file": ("f = open('a', 'wb')\nwhile True: f.write(bytes(1 << 20)); f.flush()", ""),
    "many open files": ("a = [open('/dev/null') for _ in range(9999)]", "Too many open files"),
    "reads the environment": ("import os; assert 'ELENCHUS_SECRET' in os.environ", "AssertionError"),
    "exit 0": ("import sys; sys.exit(0)", "ended itself"),
    "hard exit 0": ("import os; os._exit(0)", "exit code"),
    "kills itself": ("import os; os.abort()", ""),
    "recursion": ("def f(): f()\nf()", "RecursionError"),
    "crash": ("import ctypes; ctypes.string_at(1)", ""),
    "closes its streams": ("import os\nos.closerange(0, 99)\nwhile True: pass", ""),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_programs_fail(name, monkeypatch):
    program, reason = HOSTILE[name]
    monkeypatch.setenv("ELENCHUS_SECRET", "1")
    began = time.monotonic()
    outcome = run(program, SHORT)
    assert not outcome.ok and reason in outcome.reason, outcome
    assert time.monotonic() - began < 60


def test_files_outside_stay(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("here")
    os.chmod(tmp_path, 0o777)
    for program in (
        f"import os; os.remove({str(victim)!r})",
        f"import shutil; shutil.rmtree({str(tmp_path)!r})",
        f"open({str(victim)!r}, 'w').write('gone')",
        f"import os; os.rename({str(victim)!r}, 'mine')",
        f"open({str(tmp_path / 'new')!r}, 'w')",
    ):
        assert not run(program, SHORT).ok
    assert [p.name for p in tmp_path.iterdir()] == ["victim"] and victim.read_text() == "here"


def test_private_files_are_not_read(tmp_path):
    (tmp_path / "secret").write_text("word")
    outcome = run(f"print(open({str(tmp_path / 'secret')!r}).read())", SHORT)
    if "files" not in outcome.confined:
        pytest.skip("no Landlock on this machine: " + sandbox.missing())
    assert not outcome.ok and "word" not in outcome.stdout


def test_nobody_else_is_killed():
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        for pid in (bystander.pid, os.getpid()):
            run(f"import os, signal; os.kill({pid}, signal.SIGKILL)", SHORT)
        run("import os, signal; os.kill(os.getppid(), signal.SIGKILL)", SHORT)
        if "processes" in run("pass").confined:
            run("import os, signal; os.kill(-1, signal.SIGKILL)", SHORT)
        assert bystander.poll() is None
    finally:
        bystander.send_signal(signal.SIGKILL)
        bystander.wait()


def test_there_is_no_network():
    outcome = run(
        "import socket\ns = socket.socket()\ns.settimeout(2)\ns.connect(('127.0.0.1', 1))\n",
        SHORT,
    )
    assert not outcome.ok
    if not {"network", "tcp"} & set(outcome.confined):
        pytest.skip("no isolation from the network on this machine: " + sandbox.missing())
    assert "refused" not in outcome.reason  # forbidden or unreachable, rather than nobody there


def test_nothing_is_left_behind():
    mark = f"mark{os.getpid()}"
    detach = (
        "import os, subprocess, sys\n"
        f"p = os.fork()\nif p == 0:\n    os.setsid()\n    import time\n    name = '{mark}'\n    time.sleep(50)\n"
        "open('a', 'w').write('x')\nprint(os.getcwd())"
    )
    outcome = run(detach, SHORT)
    if "processes" in outcome.confined:
        time.sleep(0.2)
        running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        assert "sandbox_child" not in running
    assert not os.path.exists(outcome.stdout.strip())


def test_guard_stands_in_for_landlock(tmp_path):
    """What stops accidents where the kernel has no Landlock."""
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.write_text("here")
    for program, passes in (
        (f"open({str(inside / 'a')!r}, 'w').close()", True),
        (f"open({str(outside)!r}).read()", True),
        (f"open({str(outside)!r}, 'w')", False),
        (f"import os; os.remove({str(outside)!r})", False),
        ("import os; os.system('true')", False),
        ("import os; os.kill(os.getppid(), 0)", False),
    ):
        code = f"import sandbox_child as s; s.guard({str(inside)!r})\n{program}"
        done = subprocess.run([sys.executable, "-c", code], cwd=sandbox.CHILD.parent, capture_output=True, check=False)
        assert (done.returncode == 0) is passes, (program, done.stderr)
    assert outside.read_text() == "here"


def failures(name, folder, split):
    found = [i for i in benchmarks.items(name, folder, split)]
    return len(found), [i.key for i in found if not benchmarks.check(i.problem, i.solutions[0].answer)]


@pytest.mark.parametrize(("name", "split"), [("humaneval", "test"), ("mbpp", "all")])
def test_references_pass_in_excerpts_and_other_answers_fail(name, split):
    assert failures(name, FIXTURES / name, split) == (20, [])
    item = next(benchmarks.items(name, FIXTURES / name, split))
    assert not benchmarks.check(item.problem, "    return None\n") and not benchmarks.check(item.problem, None)


def test_a_whole_function_is_an_answer_too():
    item = next(benchmarks.items("humaneval", FIXTURES / "humaneval"))
    assert benchmarks.check(item.problem, item.solutions[0].text)


@needs_real
@pytest.mark.parametrize(
    # mbpp_test.jsonl has no set-up code; that of task 367 is missed
    ("name", "split", "n", "wrong"),
    [("humaneval", "test", 164, []), ("mbpp", "all", 974, []), ("mbpp", "test", 500, ["367"])],
)
def test_references_pass(name, split, n, wrong):
    assert failures(name, REAL / name, split) == (n, wrong)
