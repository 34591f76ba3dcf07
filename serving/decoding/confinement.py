"""What a process that decodes hostile bytes gives up for good: connections, other programs, other processes' memory.

By a seccomp filter (Linux, `Documentation/userspace-api/seccomp_filter.rst`): the system calls in question are answered
with "not permitted", whoever makes them within this process, native code too. Where the kernel has no filters, or the
processor is none of those listed, nothing is given up, and `confine` says so.
"""

import ctypes
import errno
import platform
import sys

PR_SET_NO_NEW_PRIVS = 38
SECCOMP_SET_MODE_FILTER, FOR_EVERY_THREAD = 1, 1
SECCOMP = {"x86_64": 317, "aarch64": 277}
"""The number of the system call `seccomp`."""
LOAD, JUMP_EQUAL, JUMP_GREATER_OR_EQUAL, RETURN = 0x20, 0x15, 0x35, 0x06
NUMBER_AT, ARCHITECTURE_AT = 0, 4
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000
OTHER_ABI = 0x40000000
"""From here on the numbers are those of x86-64's second way to call the kernel (x32), which nothing here uses."""

FORBIDDEN: dict[str, tuple[int, tuple[int, ...]]] = {
    "x86_64": (0xC000003E, (41, 42, 59, 101, 310, 311, 322, 425)),
    "aarch64": (0xC00000B7, (198, 203, 221, 117, 270, 271, 281, 425)),
}
"""By processor its number, and those of socket, connect, execve, ptrace, process_vm_readv, process_vm_writev, execveat
and io_uring_setup."""


class Instruction(ctypes.Structure):
    """`struct sock_filter` of linux/filter.h."""

    _fields_ = (
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    )


class Program(ctypes.Structure):
    """`struct sock_fprog` of linux/filter.h."""

    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(Instruction)))


def instructions(architecture: int, forbidden: tuple[int, ...]) -> list[tuple[int, int, int, int]]:
    """Return the filter: another architecture ends the process, a forbidden call is refused, the rest is allowed."""
    checks = [(JUMP_GREATER_OR_EQUAL, OTHER_ABI), *((JUMP_EQUAL, number) for number in forbidden)]
    jumps = [(code, len(checks) - place, 0, value) for place, (code, value) in enumerate(checks)]
    return [
        (LOAD, 0, 0, ARCHITECTURE_AT),
        (JUMP_EQUAL, 1, 0, architecture),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER_AT),
        *jumps,
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, REFUSE),
    ]


def confine() -> bool:
    """Give it up; return whether the kernel took it."""
    known = FORBIDDEN.get(platform.machine())
    if known is None or not sys.platform.startswith("linux"):
        return False
    made = instructions(*known)
    block = (Instruction * len(made))(*(Instruction(*one) for one in made))
    program = Program(len(made), block)
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return False
    call = SECCOMP[platform.machine()]
    took: int = library.syscall(call, SECCOMP_SET_MODE_FILTER, FOR_EVERY_THREAD, ctypes.byref(program))
    return took == 0
