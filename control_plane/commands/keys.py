"""`control-plane keys`: the two key pairs of an installation, and the key of its sessions."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import click
from attrs import field, frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from control_plane.commands.printing import print_value
from control_plane.commands.running import fail, say
from control_plane.commands.usage import Command
from control_plane.sessions.session_seal import SessionSeal
from shared.keys import key_id, private_pem, public_pem
from shared.output_form import OutputForm, output_form


@frozen
class _NewKey:
    """The files of a new key, each with its mode, and what is said of it."""

    files: Mapping[str, tuple[bytes, int]] = field(repr=False)
    words: str | None = None


def _new_sealing_key() -> _NewKey:
    key = X25519PrivateKey.generate()
    files = {
        "sealing.public.pem": (public_pem(key.public_key()), 0o644),
        "sealing.private.pem": (private_pem(key), 0o600),
    }
    return _NewKey(files, f"sealing key {key_id(key.public_key())}")


def _new_statement_key() -> _NewKey:
    key = Ed25519PrivateKey.generate()
    files = {
        "statement.public.pem": (public_pem(key.public_key()), 0o644),
        "statement.private.pem": (private_pem(key), 0o600),
    }
    return _NewKey(files, f"statement key {key_id(key.public_key())}")


def _new_session_key() -> _NewKey:
    return _NewKey({"session.key": (SessionSeal.make().text().encode(), 0o600)})


_KINDS: Final[Mapping[str, Callable[[], _NewKey]]] = {
    "sealing": _new_sealing_key,
    "statement": _new_statement_key,
    "session": _new_session_key,
}


@click.command(
    cls=Command,
    examples=(
        "control-plane keys --out keys",
        "control-plane keys --out keys --only session",
    ),
)
@click.option(
    "--out",
    "folder",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder to write to; made if it is not there.",
)
@click.option(
    "--only",
    type=click.Choice([*_KINDS]),
    help="Make this kind alone, for an installation that has the others.",
)
@output_form
def keys(folder: Path, only: str | None, *, form: OutputForm | None) -> None:
    """Make the sealing and the statement key pairs, and session.key; nothing is overwritten.

    sealing.private.pem belongs to the facade alone, statement.private.pem to the control plane
    alone. Each process gets the public half of the other's. session.key seals the sessions of the
    console: it belongs to all control planes of the installation.
    """
    made = [make() for kind, make in _KINDS.items() if only in (None, kind)]
    files = {name: file for each in made for name, file in each.files.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"the folder {folder} cannot be made: {error.strerror}")
    present = [name for name in files if os.path.lexists(folder / name)]
    if present:
        fail(f"nothing was written, because there is already: {', '.join(present)}")
    _write_all({folder / name: file for name, file in files.items()})
    if form:
        print_value([str(folder / name) for name in files], form)
    else:
        for name in files:
            click.echo(folder / name)
    for each in made:
        if each.words:
            say(each.words)


def _write_all(files: Mapping[Path, tuple[bytes, int]]) -> None:
    """Write all files, or fail and leave none: half of a pair is of no use, and in the way."""
    written = list[Path]()
    for path, (content, mode) in files.items():
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            written.append(path)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            for each in written:
                each.unlink(missing_ok=True)
            if isinstance(error, FileExistsError):
                fail(f"{path.name} has just been made by somebody else; nothing was written")
            fail(f"{path} cannot be written, and nothing was: {error.strerror}")
