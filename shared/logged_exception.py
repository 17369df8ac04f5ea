"""What a log line says of an exception: type and frames, and no message that others wrote.

A foreign exception's message may carry upstream's bytes, a request's header or a database URL with
its password. So only a `SafeMessage` shows its message. Locals and source lines are never shown.
"""

import errno
import re
import traceback
from typing import Final

from shared.log_fields import Shown, bounded_text
from shared.safe_message import SafeMessage

MAX_CHAIN: Final = 8  # exceptions in one line: causes, and members of groups
MAX_FRAMES: Final = 24  # the innermost ones of each exception
PATH_PARTS_SHOWN: Final = 3  # `aiohttp/web_protocol.py` and a folder more

_SQLSTATE: Final = re.compile(r"[0-9A-Z]{5}", re.ASCII)  # ISO/IEC 9075


def describe_exception(error: BaseException) -> list[dict[str, Shown]]:
    """Return the exception, and then those that it came from or holds, each once."""
    pending: list[BaseException | None] = [error]
    seen: list[BaseException] = []
    while pending and len(seen) < MAX_CHAIN:
        current = pending.pop(0)
        if current is None or any(current is other for other in seen):
            continue
        seen.append(current)
        pending.append(_origin(current))
        if isinstance(current, BaseExceptionGroup):
            pending.extend(current.exceptions)
    return [_describe(each) for each in seen]


def frame(file: str, line: int | None, function: str) -> str:
    """Return `folder/file.py:12:function`."""
    return bounded_text(f"{'/'.join(file.split('/')[-PATH_PARTS_SHOWN:])}:{line}:{function}")


def _origin(error: BaseException) -> BaseException | None:
    if error.__cause__ is not None or error.__suppress_context__:
        return error.__cause__
    return error.__context__


def _describe(error: BaseException) -> dict[str, Shown]:
    kind = type(error)
    described: dict[str, Shown] = {"type": kind.__qualname__, "module": kind.__module__}
    if isinstance(error, SafeMessage):
        described["message"] = bounded_text(str(error))
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        described["errno"] = errno.errorcode[error.errno]
    sqlstate = getattr(kind, "sqlstate", None)  # asyncpg names it on the class
    if isinstance(sqlstate, str) and _SQLSTATE.fullmatch(sqlstate):
        described["sqlstate"] = sqlstate
    described["frames"] = [
        frame(each.f_code.co_filename, line, each.f_code.co_name)
        for each, line in list(traceback.walk_tb(error.__traceback__))[-MAX_FRAMES:]
    ]
    return described
