"""What every command shares: how it ends, and where words and results go."""

import asyncio
import functools
import os
import pwd
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn, ParamSpec, TypeVar

import click

from control_plane.commands.columns import one_line
from control_plane.errors import ControlPlaneError, DatabaseUnavailableError
from control_plane.prefix import PREFIX
from control_plane.proof.signer import Signer
from control_plane.serving.config import OperatorsSettings, ServeSettings
from control_plane.sessions.session_seal import InvalidSessionKeysError
from shared.bounded_file import TooLongFileError, read_bounded
from shared.environment import ConfigurationError, exit_with_configuration_error
from shared.keys import InvalidKeyFileError, load_statement_public_keys
from shared.postgres.connection_parameters import ConnectionParameters
from shared.postgres.exposure import exposure_of
from shared.unreadable_file import why_unreadable

MAX_KEY_FILE_BYTES: Final = 64 * 1024  # several keys while one is rotated, and comments

_Parameters = ParamSpec("_Parameters")
_Loaded = TypeVar("_Loaded")


def command(
    function: Callable[_Parameters, Coroutine[Any, Any, None]],
) -> Callable[_Parameters, None]:
    """Run a coroutine as a command; exit 1 where it failed, 2 where the settings are wrong."""

    @functools.wraps(function)
    def run(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> None:
        try:
            asyncio.run(function(*args, **kwargs))
        except ConfigurationError as error:
            exit_with_configuration_error(error)
        except DatabaseUnavailableError as error:
            fail(f"{error}: {error.reason}")
        except ControlPlaneError as error:
            fail(str(error))

    return run


@contextmanager
def asking() -> Iterator[None]:
    """Have ^C end the command at once while somebody is asked.

    The event loop takes ^C otherwise, and waits for the answer itself.
    """
    if threading.current_thread() is not threading.main_thread():
        # it alone may say who takes a signal
        yield
        return
    taken_by = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, taken_by)


def load_key(field: str, path: Path, load: Callable[[bytes], _Loaded]) -> _Loaded:
    """Return the key of a configured file, or raise `ConfigurationError` with its variable."""
    try:
        return load(read_bounded(path, MAX_KEY_FILE_BYTES))
    except (InvalidKeyFileError, InvalidSessionKeysError, TooLongFileError) as error:
        problem = str(error)
    except OSError as error:
        problem = f"expected the path of a file that this process can read: {why_unreadable(error)}"
    raise ConfigurationError([f"{PREFIX}_{field.upper()}: {problem}"])


def signer_of(configured: ServeSettings | OperatorsSettings) -> Signer:
    """Return the signer that a command is configured with; raise `ConfigurationError`."""
    return load_signer(
        configured.statement_private_key_file, configured.statement_public_key_file
    ).writing(configured.statement_level)


def load_signer(private_key_file: Path, public_key_file: Path | None) -> Signer:
    """Return the signer of a private key, which also verifies with the public keys of a file.

    Raises `ConfigurationError`.
    """
    signer = load_key("statement_private_key_file", private_key_file, Signer.from_private_pem)
    if public_key_file is None:
        return signer
    return signer.believing(
        load_key("statement_public_key_file", public_key_file, load_statement_public_keys)
    )


def warn_of_exposure(field: str, database: ConnectionParameters) -> None:
    """Warn if a setting's database may be an impostor's, who would be sent the password."""
    if (exposure := exposure_of(database)) is not None:
        say(f"warning: {PREFIX}_{field.upper()}: {exposure}")


def say(words: str) -> None:
    """Print words for people, on standard error, without anything that steers a terminal."""
    for line in words.split("\n"):
        click.echo(one_line(line), err=True)


def fail(words: str) -> NoReturn:
    """Say what failed and exit with 1."""
    say(words)
    raise SystemExit(1)


def shell_actor() -> str:
    """Return how the audit log names whoever runs a command that has the statement key."""
    user = os.getuid()
    try:
        return f"shell:{pwd.getpwuid(user).pw_name}"
    except KeyError:
        return f"shell:{user}"
