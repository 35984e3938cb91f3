"""What runs inside the sandbox: it gives up its rights one after the other, then runs the program that it was sent.

Runs as a script of its own with `python -I`, without this package. Standard input: one line of JSON, then the program.
The token is written to descriptor `status` only when the program has run to its end, so that `sys.exit(0)` or
`os._exit(0)` is no success.
"""

import ctypes
import json
import os
import resource
import sys

READ_FILE, READ_DIR, EXECUTE = 1 << 2, 1 << 3, 1 << 0  # Landlock's rights
ALL_BY_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
WRITES = (
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.mkdir",
    "os.chmod",
    "os.chown",
    "os.link",
    "os.symlink",
    "os.truncate",
)
NEVER = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "os.forkpty",
    "subprocess.Popen",
    "socket.connect",
    "os.kill",
)


def landlock(folder, readable):
    """Confine file access to reading `readable` and writing `folder`; return whether the kernel can, and does so for TCP."""
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(444, None, 0, 1)
    if version < 1:
        return False, False
    rights = ALL_BY_VERSION[min(version, 4)] | (1 << 15 if version >= 5 else 0)
    network = 3 if version >= 4 else 0
    attributes = (ctypes.c_uint64 * 2)(rights, network)
    ruleset = libc.syscall(444, attributes, 16 if network else 8, 0)
    if ruleset < 0:
        return False, False

    class Beneath(ctypes.Structure):
        _pack_ = 1
        _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))

    look = READ_FILE | READ_DIR | EXECUTE
    on_files = READ_FILE | EXECUTE | 1 << 1 | (1 << 14 if version >= 3 else 0) | (1 << 15 if version >= 5 else 0)
    for path, allowed in [
        (folder, rights),
        *((p, look) for p in readable),
        *((d, READ_FILE | 1 << 1) for d in DEVICES),
    ]:
        try:
            parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        allowed &= rights if os.path.isdir(path) else on_files
        libc.syscall(445, ruleset, 1, ctypes.byref(Beneath(allowed, parent)), 0)
        os.close(parent)
    libc.prctl(38, 1, 0, 0, 0)  # no new privileges
    confined = libc.syscall(446, ruleset, 0) == 0
    os.close(ruleset)
    return confined, confined and bool(network)


def become(user, libc, keep_reading):
    """Become `user` for good; keep_reading: with the right to read any file, which Landlock then narrows."""
    if keep_reading:
        libc.prctl(8, 1, 0, 0, 0)  # keep permitted capabilities over the change of user
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    if keep_reading:
        read = 1 << 2  # CAP_DAC_READ_SEARCH
        libc.capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(read, read, 0, 0, 0, 0))


def guard(folder):
    """Refuse, inside the interpreter, what Landlock would refuse: the second best where the kernel has none of it."""
    inside = os.path.realpath(folder) + os.sep

    def refuse(event, args):
        if event == "open":
            path, mode, flags = args[0], args[1], args[2]
            writes = (isinstance(mode, str) and set(mode) & set("wax+")) or (
                isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            )
            if not writes or isinstance(path, int):
                return
        elif event in NEVER:
            raise PermissionError(f"{event} is not allowed here")
        elif event not in WRITES:
            return
        for path in args[:2] if event in ("os.rename", "os.link", "os.symlink") else args[:1]:
            if isinstance(path, str | bytes) and not os.path.realpath(os.fsdecode(path)).startswith(inside):
                raise PermissionError(f"{event} outside of the sandbox's folder")

    sys.addaudithook(refuse)


def main():
    """Read what to do, confine this process, run the program."""
    source = sys.stdin.buffer
    told = json.loads(source.readline())
    program = source.read(told["length"]).decode()
    libc = ctypes.CDLL(None)
    os.chdir(told["folder"])
    if told["user"]:
        become(told["user"], libc, told["keep_reading"])
    libc.prctl(1, 9, 0, 0, 0)  # die with the parent; a change of user clears this, so it comes after
    for name, value in told["limits"].items():
        resource.setrlimit(getattr(resource, name), (value, value))
    files, tcp = landlock(told["folder"], told["readable"])
    if not files:
        guard(told["folder"])
    status, token = told["status"], told["token"].encode()
    os.write(status, json.dumps({"files": files, "tcp": tcp}).encode() + b"\n")
    del told, source
    sys.argv = ["program.py"]
    try:
        exec(compile(program, "program.py", "exec"), {"__name__": "__main__"})
    except SystemExit as e:
        print(f"the program ended itself (exit {e.code})", file=sys.stderr)
        os._exit(1)
    sys.stdout.flush()
    os.write(status, token)


if __name__ == "__main__":
    main()
