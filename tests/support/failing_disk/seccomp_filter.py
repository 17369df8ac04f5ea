"""Puts this process, and what it starts, under a filter whose calls wait for an answer.

seccomp(2), linux/seccomp.h, linux/filter.h. There is no way back.
"""

import ctypes
import os
import struct
from typing import Final

from tests.support.failing_disk.calls import Machine, this_machine

_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_SET_MODE_FILTER: Final = 1
_SECCOMP_FILTER_FLAG_NEW_LISTENER: Final = 8
_SECCOMP_RET_ALLOW: Final = 0x7FFF0000
_SECCOMP_RET_USER_NOTIF: Final = 0x7FC00000

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_IF_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K
_NUMBER_AT, _ARCHITECTURE_AT = 0, 4  # in struct seccomp_data


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("count", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def install() -> int:
    """Install the filter; return the descriptor on which its calls are told and answered.

    Raises `OSError`: an older kernel, or another filter of this kind above this process.
    """
    code = _compiled(this_machine())
    program = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs")
    listener = libc.syscall(
        this_machine().seccomp,
        _SECCOMP_SET_MODE_FILTER,
        _SECCOMP_FILTER_FLAG_NEW_LISTENER,
        ctypes.byref(program),
    )
    if listener < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(listener)


def _compiled(machine: Machine) -> bytes:
    """Return: if the machine is ours and the call one of those, ask; else allow."""
    numbers = list(machine.calls)
    ask = len(numbers)  # how far it is from the first comparison to `ask`, behind `allow`
    return b"".join(
        [
            _instruction(_LOAD, _ARCHITECTURE_AT),
            _instruction(_JUMP_IF_EQUAL, machine.architecture, if_not=1 + ask),
            _instruction(_LOAD, _NUMBER_AT),
            *(
                _instruction(_JUMP_IF_EQUAL, number, if_so=ask - place)
                for place, number in enumerate(numbers)
            ),
            _instruction(_RETURN, _SECCOMP_RET_ALLOW),
            _instruction(_RETURN, _SECCOMP_RET_USER_NOTIF),
        ]
    )


def _instruction(code: int, operand: int, *, if_so: int = 0, if_not: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_so, if_not, operand)  # struct sock_filter
