"""Where a secret is read when it is needed, and how it is told that it is a new one. Pure.

tokenFrom: {env: GHCR_TOKEN, version: "2026-11"}
tokenFrom: {file: secrets/ghcr, version: "2026-11"}
tokenFrom: {command: [vault, read, -field=token, ci/ghcr], version: "2026-11"}
"""

import re
from collections.abc import Callable
from typing import Final

from attrs import frozen

from control_plane.connections.fields import parse_secret_label
from control_plane.prefix import PREFIX

MAX_PATH_CHARACTERS: Final = 4096  # Linux's own bound
MAX_COMMAND_WORDS: Final = 64
MAX_WORD_CHARACTERS: Final = 4096
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}", re.ASCII)
_SOURCES: Final = ("env", "file", "command")
VERSION: Final = "version"

Wrong = Callable[[tuple[str, ...], str], None]


@frozen
class VariableSource:
    """A variable of the environment."""

    name: str

    def __str__(self) -> str:
        """Name it for people."""
        return f"the variable {self.name}"


@frozen
class FileSource:
    """A file; its path is as it was written."""

    path: str

    def __str__(self) -> str:
        """Name it for people."""
        return f"the file {self.path}"


@frozen
class CommandSource:
    """A program and its arguments, run without a shell."""

    words: tuple[str, ...]

    def __str__(self) -> str:
        """Name the program alone: arguments may be long."""
        return f"the command {self.words[0]}"


SecretSource = VariableSource | FileSource | CommandSource


@frozen
class SecretReference:
    """A secret that is read when it is needed; another version means that it is a new one."""

    source: SecretSource
    version: str


def parse_reference(value: object, wrong: Wrong) -> SecretReference | None:
    """Return the reference; None if something is wrong, which is told by way and words."""
    if not isinstance(value, dict):
        wrong((), f"expected one of {', '.join(_SOURCES)}, and {VERSION}; never the secret itself")
        return None
    for name in sorted(value.keys() - {*_SOURCES, VERSION}):
        wrong((name,), "there is no such field")
    source, version = _source(value, wrong), _version(value.get(VERSION), wrong)
    if source is None or version is None:
        return None
    return SecretReference(source, version)


def _version(value: object, wrong: Wrong) -> str | None:
    if type(value) is int:  # of JSON; in YAML it is a text already
        value = str(value)
    if not isinstance(value, str):
        wrong((VERSION,), "needed, a text: another one means that the secret is a new one")
        return None
    try:
        return parse_secret_label(value)
    except ValueError as error:
        wrong((VERSION,), str(error))
        return None


def _source(value: dict[str, object], wrong: Wrong) -> SecretSource | None:
    given = [name for name in _SOURCES if name in value]
    if len(given) != 1:
        wrong((), f"give one of {', '.join(_SOURCES)}; an overlay takes another away with null")
        return None
    (name,) = given
    try:
        return _PARSERS[name](value[name])
    except ValueError as error:
        wrong((name,), str(error))
        return None


def _variable(value: object) -> SecretSource:
    if not isinstance(value, str) or not _VARIABLE.fullmatch(value):
        raise ValueError("expected the name of a variable: letters, digits and _")
    if value.startswith(PREFIX):
        raise ValueError(f"the variables {PREFIX}_* are this program's own, for no registry")
    return VariableSource(value)


def _file(value: object) -> SecretSource:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_PATH_CHARACTERS:
        raise ValueError("expected the path of a file, relative to the file that this stands in")
    if not value.isprintable():
        raise ValueError("expected a path of printable characters")
    return FileSource(value)


def _command(value: object) -> SecretSource:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_COMMAND_WORDS:
        raise ValueError("expected a list: the program, and its arguments")
    words = tuple(word for word in value if isinstance(word, str) and _is_word(word))
    if len(words) != len(value) or not words[0]:
        raise ValueError("expected texts, the program first")
    return CommandSource(words)


def _is_word(text: str) -> bool:
    return len(text) <= MAX_WORD_CHARACTERS and text.isprintable()


_PARSERS: Final[dict[str, Callable[[object], SecretSource]]] = {
    "env": _variable,
    "file": _file,
    "command": _command,
}
