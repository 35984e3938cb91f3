"""A file system that fails, mounted over a folder for a while: files that are open stay so, paths below it fail. Needs root."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nothing be written below `folder` (EROFS); PermissionError where nothing can be mounted here."""
    mount("--bind", folder, folder)
    try:
        mount("-o", "remount,bind,ro", folder)
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@contextlib.contextmanager
def away(folder: Path) -> Iterator[None]:
    """Let every access below `folder` fail (ENOTCONN), as one to a network's file system whose daemon is gone."""
    daemon = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={daemon},rootmode=40000,user_id=0,group_id=0".encode()
    failed = LIBC.mount(b"away", os.fsencode(folder), b"fuse", 0, options)
    os.close(daemon)
    if failed:
        raise PermissionError(os.strerror(ctypes.get_errno()))
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def mount(*arguments: object) -> None:
    """Call mount; PermissionError with its words where it fails."""
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise PermissionError(done.stderr.strip())
