"""`device-repository key|init|keys|assign|withdraw|sign|publish|show`."""

import json
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click
from tuf.api.metadata import Root, Snapshot, Targets, Timestamp

from device_repository.files import RepositoryFolder
from device_repository.keys import KeyFileError, make_key, read_public, read_signer
from device_repository.repository import DeviceRepository, RepositoryError, RoleKeys, target_of

FILE = click.Path(path_type=Path)


def _several(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(*names, type=FILE, multiple=True, required=True)


def _in_words(command: Callable[..., None]) -> Callable[..., None]:
    @wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except (RepositoryError, KeyFileError, OSError) as error:
            raise click.ClickException(str(error)) from error

    return run


@click.group()
@click.option("--folder", type=FILE, default=Path(), help="The repository's folder.")
@click.pass_context
def main(context: click.Context, folder: Path) -> None:
    """Sign what the devices of a fleet run. `published/` is for any web server."""
    context.obj = DeviceRepository(RepositoryFolder(folder))


@main.command()
@click.argument("name")
@click.option("--out", type=FILE, default=Path("keys"), show_default=True)
@_in_words
def key(name: str, out: Path) -> None:
    """Make a key: NAME.private.pem stays with one person, NAME.public.pem is for everybody."""
    files = make_key(out, name)
    click.echo(f"{files.private} signs, {files.public} is named by `init` and `keys`")


@main.command()
@_several("--root-key")
@click.option("--root-threshold", default=1, show_default=True)
@_several("--targets-key")
@click.option("--targets-threshold", default=1, show_default=True)
@click.option("--online-key", type=FILE, required=True)
@click.pass_obj
@_in_words
def init(
    repository: DeviceRepository,
    root_key: tuple[Path, ...],
    root_threshold: int,
    targets_key: tuple[Path, ...],
    targets_threshold: int,
    online_key: Path,
) -> None:
    """Begin a repository: root and targets wait for signatures."""
    online = _role_keys((online_key,), 1)
    repository.begin(
        {
            Root.type: _role_keys(root_key, root_threshold),
            Targets.type: _role_keys(targets_key, targets_threshold),
            Snapshot.type: online,
            Timestamp.type: online,
        }
    )
    _say_what_waits(repository)


@main.command()
@click.argument("role")
@_several("--key", "key_files")
@click.option("--threshold", default=1, show_default=True)
@click.pass_obj
@_in_words
def keys(
    repository: DeviceRepository, role: str, key_files: tuple[Path, ...], threshold: int
) -> None:
    """Say who signs ROLE: root, targets, snapshot, timestamp, or a fleet, which may be new."""
    repository.set_keys(role, _role_keys(key_files, threshold))
    _say_what_waits(repository)


@main.command()
@click.argument("fleet")
@click.argument("slot")
@click.option("--device", help="For this device alone.")
@click.option("--repository", "place", required=True, help="HOST_PORT/NAME, as the facade has it.")
@click.option(
    "--manifest",
    type=FILE,
    required=True,
    help="Its bytes, or an index's, as the registry has them.",
)
@click.pass_obj
@_in_words
def assign(
    repository: DeviceRepository,
    fleet: str,
    slot: str,
    device: str | None,
    place: str,
    manifest: Path,
) -> None:
    """Have the SLOT of FLEET's devices hold an artifact."""
    content = manifest.read_bytes()
    target = target_of(
        fleet,
        slot,
        device=device,
        repository=place,
        manifest=content,
        media_type=_media_type(content),
    )
    repository.assign(fleet, target)
    click.echo(f"{target.path}: sha256:{target.hashes['sha256']}")
    _say_what_waits(repository)


@main.command()
@click.argument("fleet")
@click.argument("slot")
@click.option("--device", help="For this device alone.")
@click.pass_obj
@_in_words
def withdraw(repository: DeviceRepository, fleet: str, slot: str, device: str | None) -> None:
    """Name nothing any more: a device is then told what its fleet has for the slot."""
    repository.withdraw(fleet, "/".join(each for each in (fleet, device, slot) if each))
    _say_what_waits(repository)


@main.command()
@click.argument("role")
@click.option("--key", "key_file", type=FILE, required=True)
@click.pass_obj
@_in_words
def sign(repository: DeviceRepository, role: str, key_file: Path) -> None:
    """Add a signature to the draft of ROLE."""
    repository.sign(role, read_signer(key_file))
    _say_what_waits(repository)


@main.command()
@_several("--online-key", "key_files")
@click.pass_obj
@_in_words
def publish(repository: DeviceRepository, key_files: tuple[Path, ...]) -> None:
    """Show devices what is signed, and that it is fresh. At least once a day, by a timer."""
    published = repository.publish([read_signer(each) for each in key_files])
    click.echo(f"published: {', '.join([*published, 'snapshot', 'timestamp'])}")


@main.command()
@click.pass_obj
@_in_words
def show(repository: DeviceRepository) -> None:
    """List what waits for signatures."""
    _say_what_waits(repository)


def _media_type(content: bytes) -> str:
    """Return what a manifest or an index says that it is; OCI's own may leave it out."""
    try:
        document = json.loads(content)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise RepositoryError("this is no manifest and no index: both are JSON objects")
    kind = "index" if "manifests" in document else "manifest"
    said: str = document.get("mediaType", f"application/vnd.oci.image.{kind}.v1+json")
    return said


def _role_keys(paths: tuple[Path, ...], threshold: int) -> RoleKeys:
    return RoleKeys(tuple(read_public(each) for each in paths), threshold)


def _say_what_waits(repository: DeviceRepository) -> None:
    for role in repository.files.draft_names():
        missing = repository.missing(role)
        click.echo(f"{role}: {f'{missing} signatures are missing' if missing else 'signed'}")
