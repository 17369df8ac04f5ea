"""The log: one JSON object a line on standard output, for both processes and their libraries.

    _log = get_logger(__name__)
    with log_context(request_id=request_id):
        _log.info("pull served", host=pull.host, status=200, bytes=size)
        _log.warning("statement refused", subject=subject, exc_info=error)

- `event` is a literal; what varies goes into fields. Of fields, `log_fields` says what is shown.
- Of exceptions, `logged_exception` says what is shown.
- Of libraries' records (`logging`), the message is shown as it is before anything is formatted into
  it, and only if it is a literal of the function that logs. Of warnings, the category and the place
  are shown.
- What nobody catches (main thread, other threads, destructors) is logged in the same way, instead
  of the interpreter's traceback on standard error.
- Fields of many lines can be shown and rendered once: `rendered_fields`. A line that is written for
  each answer has nothing else but an id and numbers: `RepeatedLine`.
- A line that cannot be written is dropped: a pull is worth more than its log line. Lines above
  `info` are written at once, the others together with those of the loop's round (`line_writer`).
- Until `configure` is called, warnings and errors go to standard error, redacted alike.
"""

import inspect
import logging
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache, partial
from types import MappingProxyType, TracebackType
from typing import Any, Final, TextIO, TypeAlias, cast

import orjson
import structlog
from attrs import field, frozen

from shared.line_writer import LineWriter
from shared.log_fields import FIELDS, bounded_text, number, shown
from shared.logged_exception import describe_exception, frame
from shared.secret import REDACTED
from shared.setting_types import LogLevel

STANDARD_OUTPUT: Final = 1
STANDARD_ERROR: Final = 2
WITHHELD: Final = "message withheld: it is not a literal"

Logger: TypeAlias = structlog.typing.FilteringBoundLogger

_LEVELS: Final[dict[LogLevel, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_SEVEREST_FIRST: Final = tuple(reversed(_LEVELS.items()))
_context: Final[ContextVar[Mapping[str, object]]] = ContextVar(
    "log_context", default=MappingProxyType({})
)


def configure(level: LogLevel, descriptor: int = STANDARD_OUTPUT) -> None:
    """Write what is logged from `level` upwards to the descriptor, and log what nobody catches.

    A command whose results go to standard output logs to `STANDARD_ERROR`.
    """
    writer = LineWriter.open(descriptor, _lost_lines)
    _configure_structlog(level, writer)
    logging.basicConfig(level=_LEVELS[level], handlers=[_LibraryRecords(writer)], force=True)
    warnings.showwarning = partial(_log_warning, writer)
    sys.excepthook = partial(_log_uncaught, writer)
    sys.unraisablehook = lambda args: _log_unraisable(writer, args)
    threading.excepthook = lambda args: _log_uncaught_in_thread(writer, args)


def get_logger(name: str) -> Logger:
    """Return the logger of a module: `get_logger(__name__)`.

    It looks up the log's configuration for each line. If each microsecond counts, use what `bind()`
    returns after `configure`: that looks nothing up.
    """
    return cast("Logger", structlog.get_logger(logger_name=name))


@contextmanager
def log_context(**fields: object) -> Iterator[None]:
    """Add fields to every line of this task, and of tasks that it starts, until the block ends."""
    token = _context.set({**_context.get(), **fields})
    try:
        yield
    finally:
        _context.reset(token)


@frozen
class RenderedFields:
    """Fields that many lines have, as `rendered_fields` gives them."""

    members: bytes  # `,"name":value` of each

    def __add__(self, others: "RenderedFields") -> "RenderedFields":
        """Return these and others, which have no name in common."""
        return RenderedFields(self.members + others.members)


def rendered_fields(**fields: object) -> RenderedFields:
    """Return fields for the `rendered` of lines, which must not have any of them besides.

    Their text is made once, and not for each line.
    """
    shown_fields = {name: shown(name, value) for name, value in fields.items()}
    return RenderedFields(b"," + orjson.dumps(shown_fields)[1:-1])


_NO_FIELDS: Final = RenderedFields(b"")
_FORMS: Final[dict[type[float], bytes]] = {int: b"%d", float: b"%.3f"}  # as `log_fields.number`


def render(
    level: str,
    logger: str,
    event: object,
    fields: Mapping[str, object],
    error: BaseException | None = None,
    source: str | None = None,
    rendered: RenderedFields = _NO_FIELDS,
) -> bytes:
    """Return one line. Of `fields` and `error` it holds only what the tables show."""
    line: dict[str, object] = {
        "time": _time(),
        "level": level,
        "logger": bounded_text(logger),
        "event": bounded_text(event) if type(event) is str else WITHHELD,
    }
    if source is not None:
        line["source"] = source
    if error is not None:
        line["exception"] = describe_exception(error)
    for name, value in fields.items():
        show = FIELDS.get(name)
        if show is not None:  # none of these is one of the line's own
            line[name] = None if value is None else show(value)
        else:
            line.setdefault(bounded_text(name), REDACTED)
    return orjson.dumps(line)[:-1] + rendered.members + b"}\n"


@frozen
class RepeatedLine:
    """A line of one event, written at `info` for each answer, say: a third of the time of others.

    Only an id of ours (`request_id`), some numbers and rendered fields differ from one to the next.
    """

    _logger: Logger
    _event: str
    _names: Mapping[str, type[float]]
    _fixed: Mapping[str, object]
    _form: bytes = field(repr=False)  # up to its numbers
    _same: bytes = field(repr=False)  # members that no line has in another way
    _write: Callable[[bytes], None] | None = field(repr=False)  # None: below the log's level

    @classmethod
    def of(
        cls, logger: Logger, event: str, names: Mapping[str, type[float]], **fixed: object
    ) -> "RepeatedLine":
        """Return the line of a logger that was bound after `configure`.

        `names` are those of its numbers, `int` or `float`, in the order in which they are written.
        """
        bound: Any = logger
        if not all(FIELDS.get(name) is number for name in names):
            raise AssertionError("these are numbers")
        name = bounded_text(str(bound._context.get("logger_name", "")))  # noqa: SLF001 - structlog has no other way
        head = orjson.dumps({"level": "info", "logger": name, "event": bounded_text(event)})
        numbers = (b',"%b":%b' % (name.encode(), _FORMS[kind]) for name, kind in names.items())
        form = b"".join((b'{"time":"%b",', _literal(head[1:-1]), b',"request_id":"%b"', *numbers))
        is_written = logger.is_enabled_for(logging.INFO)
        return cls(
            logger,
            event,
            names,
            fixed,
            form,
            rendered_fields(**fixed).members,
            bound._logger.info if is_written else None,  # noqa: SLF001 - as above
        )

    def write(self, request_id: str, numbers: tuple[float, ...], *rendered: bytes) -> None:
        """Write one line; `rendered` are the members of `RenderedFields`."""
        if self._write is None:
            return
        if _context.get() or not request_id.isalnum():
            fields = dict(zip(self._names, numbers, strict=True))
            self._logger.info(
                self._event,
                request_id=request_id,
                **fields,
                **self._fixed,
                rendered=RenderedFields(b"".join(rendered)),
            )
            return
        begin = self._form % (_time().encode(), request_id.encode(), *numbers)
        self._write(b"".join((begin, self._same, *rendered, b"}\n")))


def _literal(text: bytes) -> bytes:
    return text.replace(b"%", b"%%")


def _time() -> str:
    return _moment(time.time_ns() // 1_000_000)


@lru_cache(maxsize=1)  # a busy loop writes several lines within it
def _moment(unix_milliseconds: int) -> str:
    seconds, milliseconds = divmod(unix_milliseconds, 1000)
    return f"{_second(seconds)}.{milliseconds:03d}Z"


@lru_cache(maxsize=1)
def _second(unix_seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(unix_seconds))


def _configure_structlog(level: LogLevel, writer: LineWriter) -> None:
    filtering = structlog.make_filtering_bound_logger(_LEVELS[level])
    structlog.configure(
        processors=[],
        wrapper_class=type("_BoundLogger", (filtering,), {"_proxy_to_logger": _log_event}),
        logger_factory=lambda *_: _Lines(writer),
        cache_logger_on_first_use=False,
    )


def _log_event(self: Any, level: str, event: str | None = None, /, **fields: Any) -> None:
    """Write one line. structlog's chain of processors would take half as long again."""
    error = _error(fields.pop("exc_info", None))
    rendered = _NO_FIELDS
    if type(fields.get("rendered")) is RenderedFields:
        rendered = fields.pop("rendered")
    fields = {**_context.get(), **self._context, **fields}
    logger = str(fields.pop("logger_name", ""))
    getattr(self._logger, level)(render(level, logger, event, fields, error, rendered=rendered))


def _error(exc_info: object) -> BaseException | None:
    """Return the exception of `exc_info=True`, `exc_info=error` or logging's triple."""
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1]
    if isinstance(exc_info, BaseException):
        return exc_info
    return sys.exc_info()[1] if exc_info else None


class _Lines:
    """What structlog writes to."""

    def __init__(self, writer: LineWriter) -> None:
        self.debug = self.info = writer.write_soon
        self.warning = self.error = self.critical = writer.write


class _LibraryRecords(logging.Handler):
    """What libraries log through `logging`."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's line."""
        names = (name for name, least in _SEVEREST_FIRST if record.levelno >= least)
        line = render(
            next(names, "debug"),
            record.name,
            record.msg if _is_literal(record) else WITHHELD,
            _context.get(),
            _error(record.exc_info),
            frame(record.pathname, record.lineno, record.funcName or ""),
        )
        self._writer.write(line)


def _is_literal(record: logging.LogRecord) -> bool:
    """Tell whether the message stands as it is in the code of the function that logs it."""
    caller = inspect.currentframe()
    while caller is not None:
        code = caller.f_code
        if code.co_name == record.funcName and code.co_filename == record.pathname:
            return type(record.msg) is str and record.msg in code.co_consts
        caller = caller.f_back
    return False


def _log_warning(
    writer: LineWriter,
    _message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    _file: TextIO | None = None,
    _line: str | None = None,
) -> None:
    source = frame(filename, lineno, "")
    fields = {**_context.get(), "error": category.__qualname__}
    writer.write(render("warning", "warnings", "warning", fields, source=source))


def _log_uncaught(
    writer: LineWriter,
    _kind: type[BaseException],
    error: BaseException,
    _traceback: TracebackType | None,
) -> None:
    writer.write(render("error", "uncaught", "exception in the main thread", {}, error))


def _log_uncaught_in_thread(writer: LineWriter, args: threading.ExceptHookArgs) -> None:
    if args.exc_type is not SystemExit:  # as threading's own hook does
        event = "exception in a thread"
        writer.write(render("error", "uncaught", event, {}, args.exc_value))


def _log_unraisable(writer: LineWriter, args: "sys.UnraisableHookArgs") -> None:
    event = "exception that could not be raised"
    writer.write(render("error", "uncaught", event, {}, args.exc_value))


def _lost_lines(count: int) -> bytes:
    event = "lines of the log found no room and are lost"
    return render("warning", "shared.line_writer", event, {"lines": count})


_configure_structlog("warning", LineWriter(STANDARD_ERROR, _lost_lines))
