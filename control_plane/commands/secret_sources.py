"""Secrets that files refer to, read when they are needed: never printed, never kept.

A variable, a file, or what a command prints, each within a bound of bytes and time. A line break at
the end of a file's or a command's text is left out.
"""

import asyncio
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from attrs import frozen

from control_plane.declared.secret_reference import (
    CommandSource,
    FileSource,
    SecretReference,
    VariableSource,
)
from control_plane.errors import ControlPlaneError, InvalidRequestError, UnreadableBodyError
from control_plane.reading.field_reader import read_object
from control_plane.serving.environment import surroundings_of_others, variable
from shared.bounded_file import read_bounded
from shared.connection import Provider
from shared.secret import Secret
from shared.unreadable_file import why_unreadable

MAX_SECRET_SOURCE_BYTES: Final = 64 * 1024  # a service account's key is about 2.4 KiB
COMMAND_SECONDS: Final = 30.0  # a vault that is asked over the network, at its first call
_READ_BYTES: Final = 16 * 1024


class UnreadableSecretError(ControlPlaneError):
    """A secret cannot be read; the message names its source, and nothing that was read."""


@frozen
class SecretSources:
    """Reads secrets; with `allow_commands`, programs that files name are run."""

    allow_commands: bool
    command_seconds: float = COMMAND_SECONDS

    async def fields(
        self, reference: SecretReference, folder: Path, provider: object
    ) -> Mapping[str, object]:
        """Return the fields of a request that a secret makes; raise `UnreadableSecretError`."""
        secret = await self._read(reference, folder)
        if provider == Provider.GOOGLE_SERVICE_ACCOUNT:
            return {"service_account_key": _key(secret, reference)}
        try:
            return {"token": secret.reveal_text()}
        except ValueError:
            raise UnreadableSecretError(f"{reference.source} holds no UTF-8 text") from None

    async def _read(self, reference: SecretReference, folder: Path) -> Secret:
        match reference.source:
            case VariableSource(name=name) as source:
                if (found := variable(name)) is None:
                    raise UnreadableSecretError(f"{source} is not set")
                return found
            case FileSource(path=path) as source:
                try:
                    content = await asyncio.to_thread(
                        read_bounded, folder / path, MAX_SECRET_SOURCE_BYTES
                    )
                except OSError as error:
                    raise UnreadableSecretError(f"{source}: {why_unreadable(error)}") from None
                return Secret(_without_line_break(content))
            case CommandSource(words=words) as source:
                if not self.allow_commands:
                    raise UnreadableSecretError(f"{source} is run only with --allow-commands")
                printed = await asyncio.to_thread(
                    _printed, words, folder, str(source), self.command_seconds
                )
                return Secret(_without_line_break(printed))


def _printed(words: Sequence[str], folder: Path, source: str, seconds: float) -> bytes:
    """Return what a program prints. Blocks, within the bounds.

    What it says beside that is not shown, because it may be secret.
    """
    deadline = time.monotonic() + seconds
    try:
        process = subprocess.Popen(  # noqa: S603 - the operator allowed it; no shell reads the words
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=surroundings_of_others(),
            start_new_session=True,  # so that its children end with it
        )
    except OSError as error:
        raise UnreadableSecretError(f"{source} cannot be run: {why_unreadable(error)}") from None
    with process:
        try:
            content = _bounded_output(process, source, deadline)
            status = process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            message = f"{source} took longer than {seconds:g} seconds"
            raise UnreadableSecretError(message) from None
        finally:
            _end(process)
    if status != 0:
        raise UnreadableSecretError(f"{source} failed (exit status {status}); run it by hand")
    if not content:
        raise UnreadableSecretError(f"{source} printed nothing")
    return content


def _bounded_output(process: subprocess.Popen[bytes], source: str, deadline: float) -> bytes:
    if process.stdout is None:
        raise AssertionError("it was started with a pipe")
    content, pipe = bytearray(), process.stdout.fileno()
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    while True:
        remaining = deadline - time.monotonic()
        if remaining <= 0 or not poll.poll(remaining * 1000):
            raise subprocess.TimeoutExpired(source, remaining)
        if not (piece := os.read(pipe, _READ_BYTES)):
            return bytes(content)
        content += piece
        if len(content) > MAX_SECRET_SOURCE_BYTES:
            raise UnreadableSecretError(
                f"{source} printed more than {MAX_SECRET_SOURCE_BYTES} bytes"
            )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program and its children, if they have not ended themselves."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _key(secret: Secret, reference: SecretReference) -> Mapping[str, object]:
    try:
        return read_object(secret.reveal())
    except (UnreadableBodyError, InvalidRequestError):
        message = f"{reference.source} holds no JSON object, or one with a field twice"
        raise UnreadableSecretError(message) from None


def _without_line_break(content: bytes) -> bytes:
    return content.removesuffix(b"\n").removesuffix(b"\r")
