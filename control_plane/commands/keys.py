"""`control-plane keys`: the two key pairs of an installation."""

import os
from pathlib import Path

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from control_plane.commands.running import fail, say
from control_plane.commands.usage import Command
from shared.keys import key_id, private_pem, public_pem


@click.command(cls=Command)
@click.option(
    "--out",
    "folder",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder to write to; made if it is not there.",
)
def keys(folder: Path) -> None:
    """Make the sealing and the statement key pairs; nothing is overwritten.

    sealing.private.pem belongs to the facade alone, statement.private.pem to the control plane
    alone. Each process gets the public half of the other's.
    """
    sealing, statement = X25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    files = {
        "sealing.public.pem": (public_pem(sealing.public_key()), 0o644),
        "sealing.private.pem": (private_pem(sealing), 0o600),
        "statement.public.pem": (public_pem(statement.public_key()), 0o644),
        "statement.private.pem": (private_pem(statement), 0o600),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"the folder {folder} cannot be made: {error.strerror}")
    present = [name for name in files if (folder / name).exists()]
    if present:
        fail(f"nothing was written, for there is already: {', '.join(present)}")
    for name, (pem, mode) in files.items():
        _write_new(folder / name, pem, mode)
        click.echo(folder / name)
    say(f"sealing key {key_id(sealing.public_key())}")
    say(f"statement key {key_id(statement.public_key())}")


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        fail(f"{path.name} has just been made by somebody else; it was not overwritten")
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}")
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
