"""What a setting's text may be: each type with its parser and the words for what it expects.

Every parser is a pure function (`ReadableFile` alone looks at the file system) that returns the
value or raises `ValueError`. People are shown the form's `expected`. They are shown the error's
message only if it is a `SafeMessage`, because any other may quote the text. A form that finds
several things wrong raises `InvalidSettingError`, whose lines are shown instead.

    class Settings:
        poll_interval: PositiveDuration = 15.0
        even: Annotated[int, Form(parse_even, "an even number")] = 2
"""

import errno
import os
import re
from collections.abc import Callable
from enum import Enum
from ipaddress import IPv6Address, ip_address, ip_network
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, NamedTuple, Union, get_args, get_origin
from urllib.parse import urlsplit

from attrs import frozen

from shared.canonical_json import Network
from shared.safe_message import SafeMessage
from shared.secret import Secret
from shared.several_problems import SeveralProblemsError
from shared.unreadable_file import UnreadableFileError, why_unreadable

MAX_PORT: Final = 65535
MAX_HOST_NAME_CHARACTERS: Final = 253  # RFC 1035 section 2.3.4, without the final dot
MAX_INTEGER_DIGITS: Final = 15  # exact in a double; a longer number is a mistake

_INTEGER: Final = re.compile(rf"-?[0-9]{{1,{MAX_INTEGER_DIGITS}}}", re.ASCII)
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)", re.ASCII)
_BYTES: Final = {"": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_BYTE_SIZE: Final = re.compile(rf"([0-9]{{1,{MAX_INTEGER_DIGITS}}})(|KiB|MiB|GiB|TiB)", re.ASCII)
_LISTEN: Final = re.compile(
    r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<four>[0-9.]+)):(?P<port>0|[1-9][0-9]{0,4})", re.ASCII
)


class InvalidSettingError(SafeMessage, SeveralProblemsError):
    """All that is wrong with a setting's text: one line, after the variable's name."""


@frozen
class Form:
    """How the text of a setting is read, and what people are told if it cannot be read."""

    parse: Callable[..., object]
    expected: str  # completes the sentence "expected ..."
    reads: tuple[str, ...] = ()  # other variables, given to `parse` after the text, as a mapping
    written: Callable[[Any], str] = str  # the text of a value, as `parse` reads it


class ListenAddress(NamedTuple):
    """An address to listen on: an IP literal without brackets, and a port (0: the system picks)."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return ip_address(self.host).is_loopback

    def __str__(self) -> str:
        """Return the form in which it is written in the environment."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def form_of(cls: Any) -> Form:
    """Return the form of a setting's type; raise `TypeError` for a type that has none."""
    if cls in _FORMS:
        return _FORMS[cls]
    origin, arguments = get_origin(cls), get_args(cls)
    if origin is Annotated:
        return next(extra for extra in arguments[1:] if isinstance(extra, Form))
    if origin in {Union, UnionType} and NoneType in arguments:
        (inner,) = (argument for argument in arguments if argument is not NoneType)
        return form_of(inner)
    if origin is Literal:
        return _choice({str(value): value for value in arguments})
    if isinstance(cls, type) and issubclass(cls, Enum):
        return _choice({str(member.value): member for member in cls})
    raise TypeError(f"no form is known for settings of the type {cls}")


def parse_bool(text: str) -> bool:
    """Return the value of `true` or `false`."""
    return {"true": True, "false": False}[text]


def parse_int(text: str) -> int:
    """Return a whole number of at most `MAX_INTEGER_DIGITS` decimal digits."""
    return int(_matched(_INTEGER, text)[0])


def parse_count(text: str) -> int:
    """Return a whole number that is not negative."""
    count = parse_int(text)
    if count < 0:
        raise ValueError("negative")
    return count


def parse_positive_count(text: str) -> int:
    """Return a whole number above zero."""
    count = parse_count(text)
    if not count:
        raise ValueError("zero")
    return count


def parse_duration(text: str) -> float:
    """Return the seconds of `250ms`, `30s`, `5m`, `24h` or `90d`."""
    match = _matched(_DURATION, text)
    return int(match[1]) * _SECONDS[match[2]]


def parse_positive_duration(text: str) -> float:
    """Return the seconds of a duration that is longer than nothing."""
    seconds = parse_duration(text)
    if not seconds:
        raise ValueError("zero")
    return seconds


def parse_byte_size(text: str) -> int:
    """Return the bytes of `1048576`, `512MiB` or `10GiB`; powers of 1000 are not accepted."""
    match = _matched(_BYTE_SIZE, text)
    return int(match[1]) * _BYTES[match[2]]


def duration_text(seconds: float) -> str:
    """Return a duration as a whole number of the largest unit that fits, hours at most."""
    milliseconds = round(seconds * 1000)
    for unit in ("h", "m", "s"):
        number, rest = divmod(milliseconds, round(_SECONDS[unit] * 1000))
        if number and not rest:
            return f"{number}{unit}"
    return f"{milliseconds}ms" if milliseconds else "0s"


def parse_listen_address(text: str) -> ListenAddress:
    """Return the address of `127.0.0.1:8080` or `[::1]:8080`; names are not resolved."""
    match = _matched(_LISTEN, text)
    address, port = ip_address(match["six"] or match["four"]), int(match["port"])
    if port > MAX_PORT or isinstance(address, IPv6Address) != bool(match["six"]):
        raise ValueError("not an address and port")
    return ListenAddress(str(address), port)


def parse_networks(text: str) -> tuple[Network, ...]:
    """Return the networks of `10.0.0.0/8,fd00::/8`."""
    return tuple(ip_network(part.strip()) for part in text.split(","))


def parse_path(text: str) -> Path:
    """Return the path, as it is written."""
    if "\0" in text:
        raise ValueError("a path holds no NUL")
    return Path(text)


def parse_readable_file(text: str) -> Path:
    """Return the path of a file that can be opened now."""
    path = parse_path(text)
    require_readable_file(path)
    return path


def parse_http_url(text: str) -> str:
    """Return an absolute `http` or `https` URL without user, query and fragment."""
    parts = urlsplit(text)
    plain = text.isascii() and text.isprintable() and " " not in text
    if not plain or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("not an absolute URL")
    if parts.username is not None or parts.query or parts.fragment or parts.port == 0:
        raise ValueError("more than scheme, host, port and path")
    return text


def require_readable_file(path: Path) -> None:
    """Raise `UnreadableFileError` unless this process can open the path and it is no folder."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise UnreadableFileError(why_unreadable(error)) from None
    os.close(descriptor)
    if path.is_dir():
        raise UnreadableFileError(why_unreadable(IsADirectoryError(errno.EISDIR, "")))


def _choice(choices: dict[str, Any]) -> Form:
    texts = {value: text for text, value in choices.items()}
    return Form(choices.__getitem__, f"one of {', '.join(choices)}", written=texts.__getitem__)


def _matched(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    match = pattern.fullmatch(text)
    if match is None:
        raise ValueError("of another form")
    return match


Duration = Annotated[
    float, Form(parse_duration, "a duration such as 30s, 5m or 24h", written=duration_text)
]
PositiveDuration = Annotated[
    float,
    Form(
        parse_positive_duration,
        "a duration such as 30s, 5m or 24h, and not zero",
        written=duration_text,
    ),
]
Count = Annotated[int, Form(parse_count, "a whole number, 0 or more")]
PositiveCount = Annotated[int, Form(parse_positive_count, "a whole number above 0")]
ByteSize = Annotated[int, Form(parse_byte_size, "a size such as 10GiB, 512MiB or bytes")]
Networks = Annotated[
    tuple[Network, ...],
    Form(parse_networks, "networks such as 10.0.0.0/8,fd00::/8 without host bits"),
]
ReadableFile = Annotated[
    Path, Form(parse_readable_file, "the path of a file that this process can read")
]
HttpUrl = Annotated[str, Form(parse_http_url, "a URL such as https://host.example/path")]
LogLevel = Literal["debug", "info", "warning", "error"]

_FORMS: Final[dict[object, Form]] = {
    str: Form(str, "text"),
    bool: Form(parse_bool, "true or false", written=lambda value: str(value).lower()),
    int: Form(parse_int, "a whole number"),
    Path: Form(parse_path, "a path"),
    Secret: Form(Secret, "a secret text"),
    ListenAddress: Form(
        parse_listen_address, "an IP address and port such as 127.0.0.1:8080 or [::1]:8080"
    ),
}
