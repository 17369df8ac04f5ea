"""A file, or standard input, that a command is given to read: what cannot be read is told in words.

A disk that fails, a folder as standard input (`< /tmp`), a file system that is gone: each is found
when something is read, long after the file was opened.
"""

import sys
from collections.abc import Callable
from typing import Any, cast

import click
from attrs import frozen
from typing_extensions import override

from shared.unreadable_file import why_unreadable


@frozen
class GivenFile:
    """A file that is read as bytes; the methods exit with 2 if it cannot be read."""

    name: str
    _file: Any  # a binary file of Python

    @classmethod
    def standard_input(cls) -> "GivenFile":
        """Return what comes from standard input."""
        return cls("standard input", sys.stdin.buffer)

    def read(self, at_most: int) -> bytes:
        """Return so many bytes, fewer only at the end."""
        return self._told(lambda: self._file.read(at_most))

    def readline(self, at_most: int, /) -> bytes:
        """Return a line, or as much of it as the limit allows."""
        return self._told(lambda: self._file.readline(at_most))

    def _told(self, read: Callable[[], bytes | None]) -> bytes:
        try:
            content = read()
        except OSError as error:
            why = why_unreadable(error)
        else:
            if content is not None:
                return content
            why = "nothing has come yet, and it does not wait (O_NONBLOCK)"
        raise click.UsageError(f"{self.name} cannot be read: {why}")


class GivenFileType(click.File):
    """The path of a file, or `-` for standard input."""

    def __init__(self) -> None:
        super().__init__("rb")

    @override
    def convert(  # type: ignore[override] # click.File promises a file, and this one is safer
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> GivenFile:
        opened = super().convert(value, param, ctx)
        name = "standard input" if value == "-" else str(value)
        return GivenFile(name, cast(Any, opened))
