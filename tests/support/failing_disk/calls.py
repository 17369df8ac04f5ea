"""Which system calls can fail, and what their arguments mean on this machine."""

import platform
from collections.abc import Mapping
from enum import Enum
from typing import Final

from attrs import frozen


class Call(Enum):
    """What can fail."""

    OPEN = "open"
    READ = "read"
    WRITE = "write"
    SYNC = "sync"
    RENAME = "rename"
    REMOVE = "remove"
    LOOK = "look"
    MAKE_FOLDER = "make folder"


class Names(Enum):
    """How a call names its file."""

    DESCRIPTOR = "the first argument"
    PATH = "a path in the first argument"
    PATH_BELOW = "a path in the second argument, below the folder of the first"


@frozen
class SystemCall:
    """One of the kernel's calls."""

    call: Call
    names: Names = Names.DESCRIPTOR
    is_vectored: bool = False  # the amount is in a list of buffers


@frozen
class Machine:
    """A kind of processor, as the kernel numbers it."""

    architecture: int  # AUDIT_ARCH_*, linux/audit.h
    seccomp: int  # the number of seccomp(2)
    calls: Mapping[int, SystemCall]  # asm/unistd.h


# What os, pathlib and SQLite ask for.
_OPENAT = SystemCall(Call.OPEN, Names.PATH_BELOW)
_OPENAT2 = SystemCall(Call.OPEN, Names.PATH_BELOW)
_PREAD64 = SystemCall(Call.READ)
_PREADV2 = SystemCall(Call.READ, is_vectored=True)
_PWRITE64 = SystemCall(Call.WRITE)
_PWRITEV = SystemCall(Call.WRITE, is_vectored=True)  # and pwritev2
_SYNC = SystemCall(Call.SYNC)  # fsync, fdatasync
_UNLINK = SystemCall(Call.REMOVE, Names.PATH)
_UNLINKAT = SystemCall(Call.REMOVE, Names.PATH_BELOW)
_NEWFSTATAT = SystemCall(Call.LOOK, Names.PATH_BELOW)
_RENAME = SystemCall(Call.RENAME, Names.PATH)
_RENAMEAT = SystemCall(Call.RENAME, Names.PATH_BELOW)
_MKDIR = SystemCall(Call.MAKE_FOLDER, Names.PATH)
_MKDIRAT = SystemCall(Call.MAKE_FOLDER, Names.PATH_BELOW)

_MACHINES: Final = {
    "x86_64": Machine(
        0xC000003E,
        317,
        {
            257: _OPENAT,
            437: _OPENAT2,
            17: _PREAD64,
            327: _PREADV2,
            18: _PWRITE64,
            296: _PWRITEV,
            328: _PWRITEV,
            74: _SYNC,
            75: _SYNC,
            82: _RENAME,
            264: _RENAMEAT,
            83: _MKDIR,
            258: _MKDIRAT,
            87: _UNLINK,
            263: _UNLINKAT,
            262: _NEWFSTATAT,
        },
    ),
    "aarch64": Machine(
        0xC00000B7,
        277,
        {
            56: _OPENAT,
            437: _OPENAT2,
            67: _PREAD64,
            286: _PREADV2,
            68: _PWRITE64,
            70: _PWRITEV,
            287: _PWRITEV,
            82: _SYNC,
            83: _SYNC,
            38: _RENAMEAT,
            34: _MKDIRAT,
            35: _UNLINKAT,
            79: _NEWFSTATAT,
        },
    ),
}


def this_machine() -> Machine:
    """Return the machine that this runs on; raise `KeyError` if it is of another kind."""
    return _MACHINES[platform.machine()]
