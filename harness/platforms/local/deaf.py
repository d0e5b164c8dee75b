"""Run a program that cannot listen: `python -m harness.platforms.local.deaf PROGRAM ARGUMENT...`.

For programs that open a port on every interface, and end when they cannot. The kernel answers for them: `listen` succeeds without
being done, and `accept` finds nobody, for ever. It is a seccomp filter of ten instructions, needs no rights, holds for the
program's children, and cannot be taken back. Linux on x86-64 and arm64.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO, KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
NUMBER_AT, ARCHITECTURE_AT = 0, 4
"""Offsets in the kernel's struct seccomp_data."""
CALLS = {
    # Machine: audit architecture, listen, accept, accept4 (the kernel's system call tables).
    "x86_64": (0xC000003E, 50, 43, 288),
    "aarch64": (0xC00000B7, 201, 202, 242),
}


def program(machine: str) -> bytes:
    """The filter as the kernel takes it. Raises KeyError for a machine that is not in CALLS."""
    architecture, listen, accept, accept4 = CALLS[machine]
    return b"".join(
        struct.pack("=HBBI", code, yes, no, value)
        for code, yes, no, value in (
            (LOAD, 0, 0, ARCHITECTURE_AT),
            (EQUAL, 1, 0, architecture),
            (RETURN, 0, 0, KILL_PROCESS),
            (LOAD, 0, 0, NUMBER_AT),
            (EQUAL, 3, 0, listen),
            (EQUAL, 3, 0, accept),
            (EQUAL, 2, 0, accept4),
            (RETURN, 0, 0, ALLOW),
            (RETURN, 0, 0, ERRNO),  # no error: done, says the kernel, and does nothing
            (RETURN, 0, 0, ERRNO | errno.EAGAIN),
        )
    )


def make_deaf() -> None:
    """Install the filter in this process, for good. Raises OSError."""
    instructions = program(platform.machine())
    buffer = ctypes.create_string_buffer(instructions, len(instructions))
    header = struct.pack("@HP", len(instructions) // 8, ctypes.addressof(buffer))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    for arguments in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0)):
        if prctl(*(ctypes.c_ulong(each) if isinstance(each, int) else each for each in arguments)) != 0:
            raise OSError(ctypes.get_errno(), "the kernel does not let us install a seccomp filter")


def main(argv: list[str]) -> None:
    """Become the program, deaf."""
    make_deaf()
    os.execv(argv[0], argv)  # noqa: S606 -- no shell is what is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
