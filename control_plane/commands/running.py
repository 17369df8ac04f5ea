"""What every command shares: how it ends, and where words and results go."""

import asyncio
import functools
import os
import pwd
from collections.abc import Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn, ParamSpec, TypeVar

import click
import orjson
from rich.console import Console
from rich.table import Table

from control_plane.config import PREFIX
from control_plane.errors import ControlPlaneError
from control_plane.signer import Signer
from shared.environment import ConfigurationError, exit_with_configuration_error
from shared.keys import InvalidKeyFileError, load_statement_public_keys

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
        except ControlPlaneError as error:
            fail(str(error))

    return run


def load_key(field: str, path: Path, load: Callable[[bytes], _Loaded]) -> _Loaded:
    """Return the key of a configured file, or raise `ConfigurationError` with its variable."""
    try:
        with path.open("rb") as file:
            return load(file.read(MAX_KEY_FILE_BYTES))
    except InvalidKeyFileError as error:
        problem = str(error)
    except OSError:
        problem = "expected the path of a file that this process can read"
    raise ConfigurationError([f"{PREFIX}_{field.upper()}: {problem}"])


def load_signer(private_key_file: Path, public_key_file: Path | None) -> Signer:
    """Return the signer of a private key that believes the public keys of a file, too.

    Raises `ConfigurationError`.
    """
    signer = load_key("statement_private_key_file", private_key_file, Signer.from_private_pem)
    if public_key_file is None:
        return signer
    return signer.believing(
        load_key("statement_public_key_file", public_key_file, load_statement_public_keys)
    )


def print_table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print a table for people; a value that is too wide is folded, never cut: ids are copied."""
    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    Console(markup=False, highlight=False).print(table)


def show_view(view: Mapping[str, Any], *, as_json: bool) -> None:
    """Print an object of the API: its JSON, or a table of what it says."""
    if as_json:
        click.echo(orjson.dumps(view))
        return
    shown = {name: value for name, value in view.items() if value not in (None, [], "")}
    texts = (
        (name, value if isinstance(value, str) else orjson.dumps(value).decode())
        for name, value in shown.items()
    )
    print_table(("field", "value"), texts)


def say(words: str) -> None:
    """Print words for people, on standard error."""
    click.echo(words, err=True)


def fail(words: str) -> NoReturn:
    """Say what failed and exit with 1."""
    say(words)
    raise SystemExit(1)


def shell_actor() -> str:
    """Return how the audit log names whoever runs a command with the statement key in hand."""
    user = os.getuid()
    try:
        return f"shell:{pwd.getpwuid(user).pw_name}"
    except KeyError:
        return f"shell:{user}"
