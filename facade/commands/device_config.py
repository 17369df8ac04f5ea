"""`facade device-config`: writes the files by which a device's client asks the facade."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final, NoReturn

import click
import orjson
from attrs import frozen

from facade.commands.client_files import (
    Client,
    ClientFile,
    ClientFiles,
    DeviceSetUp,
    PemTexts,
    UnusableSetUpError,
    files_of,
    parse_device_path,
    parse_facade,
)
from facade.commands.command_run import FAILED_EXIT_CODE, say
from facade.commands.written_files import Fate, ForeignFileError, WrittenFiles
from shared.bounded_file import read_bounded
from shared.command_examples import ExemplaryCommand
from shared.output_form import OutputForm, output_form
from shared.pem import InvalidPemError, load_certificates, private_key_block
from shared.unreadable_file import why_unreadable
from shared.upstream.hosts import UnusableHostError, registry_host_from_reference

MAX_PEM_BYTES: Final = 1024 * 1024  # a bundle of some hundred CAs
_FOLDER: Final = click.Path(file_okay=False, path_type=Path)
_LINES: Final = "--facade facade.example:8443 --certificate /etc/device/client.cert --key"
_EXAMPLE: Final = f"{_LINES} /etc/device/client.key --ca /etc/device/ca.crt ghcr.io docker.io"


@frozen(kw_only=True)
class _Typed:
    """What was typed beside the client."""

    facade: str | None
    certificate: str | None
    key: str | None
    ca: str | None
    home: str | None
    registries: Sequence[str]
    root: Path
    dry_run: bool
    remove: bool


@click.command(
    "device-config",
    cls=ExemplaryCommand,
    examples=(
        f"facade device-config --client containerd {_EXAMPLE}",
        f"facade device-config --client podman --dry-run {_EXAMPLE}",
        "facade device-config --client podman --remove",
    ),
)
@click.option(
    "--client",
    required=True,
    type=click.Choice([each.value for each in Client]),
    help="What pulls.",
)
@click.option("--facade", metavar="HOST:PORT", help="Where devices ask the facade.")
@click.option("--certificate", metavar="PATH", help="The device's certificate, with its chain.")
@click.option("--key", metavar="PATH", help="Its private key.")
@click.option("--ca", metavar="PATH", help="Who signed the facade's certificate.")
@click.option("--root", type=_FOLDER, default="/", help="Write below this folder, for an image.")
@click.option("--home", metavar="PATH", help="Whose home: of regctl's file.")
@click.option("--dry-run", is_flag=True, help="Print the files, and write nothing.")
@click.option("--remove", is_flag=True, help="Remove what this command has written.")
@click.argument("registries", nargs=-1, metavar="[REGISTRY…]")
@output_form
def device_config(client: str, *, form: OutputForm | None, **typed: Any) -> None:
    """Write the files by which a client asks the facade, on the device.

    Images keep the registry's own names where the client can be told so. A file that is there and
    that this command did not write is left as it is, and then nothing is written. `--remove` takes
    everything away again. Needs no settings.
    """
    chosen, asked = Client(client), _Typed(**typed)
    try:
        _run(chosen, asked, form)
    except UnusableSetUpError as error:
        raise click.UsageError(str(error)) from None
    except ForeignFileError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename or asked.root}: {why_unreadable(error)}")


def _run(client: Client, asked: _Typed, form: OutputForm | None) -> None:
    written = WrittenFiles(asked.root, client.record)
    if asked.remove:
        _require_nothing_else(asked)
        _tell(client, written.remove(), (), form)
        return
    made = files_of(client, _set_up(client, asked))
    if asked.dry_run:
        _show(client, made, form)
    else:
        _tell(client, written.write(made.files), made.notes, form)


def _set_up(client: Client, typed: _Typed) -> DeviceSetUp:
    """Return what was typed; raise `UnusableSetUpError`."""
    if not (typed.facade and typed.certificate and typed.key and typed.ca and typed.registries):
        raise UnusableSetUpError(
            "expected --facade, --certificate, --key, --ca and a REGISTRY; or --remove"
        )
    certificate = parse_device_path("--certificate", typed.certificate)
    key, ca = parse_device_path("--key", typed.key), parse_device_path("--ca", typed.ca)
    try:
        registries = tuple(dict.fromkeys(map(registry_host_from_reference, typed.registries)))
    except UnusableHostError as error:
        raise UnusableSetUpError(f"REGISTRY: {error}") from None
    named = PemTexts(*(f"the text of {path}" for path in (ca, certificate, key)))
    wants_texts = client is Client.REGCTL and not typed.dry_run  # which shows no key to a screen
    return DeviceSetUp(
        parse_facade(typed.facade),
        certificate,
        key,
        ca,
        registries,
        parse_device_path("--home", typed.home or str(Path.home())),
        _texts(typed.root, certificate, key, ca) if wants_texts else named,
    )


def _texts(
    root: Path, certificate: PurePosixPath, key: PurePosixPath, ca: PurePosixPath
) -> PemTexts:
    def text(path: PurePosixPath) -> str:
        content = read_bounded(root / path.relative_to("/"), MAX_PEM_BYTES)
        return content.decode("utf-8", errors="replace")

    try:
        own, private, issuer = text(certificate), text(key), text(ca)
        _ = load_certificates(own), load_certificates(issuer), private_key_block(private)
    except InvalidPemError as error:
        raise UnusableSetUpError(f"a file of certificate, key or CA: {error}") from None
    return PemTexts(issuer, own, private)


def _require_nothing_else(typed: _Typed) -> None:
    others = (typed.facade, typed.certificate, typed.key, typed.ca, typed.registries)
    if any(others) or typed.dry_run:
        raise UnusableSetUpError("--remove takes --client, --root and nothing else")


def _tell(
    client: Client,
    fates: Mapping[PurePosixPath, Fate],
    notes: Sequence[str],
    form: OutputForm | None,
) -> None:
    """Print what became of each file; exit with 1 if one was not removed."""
    for note in notes:
        say(f"note: {note}")
    view = {
        "client": client.value,
        "files": [{"path": str(path), "fate": str(fate)} for path, fate in sorted(fates.items())],
        "notes": list(notes),
    }
    words = [f"{fate}: {path}" for path, fate in sorted(fates.items())]
    _print(view, words, form)
    if Fate.KEPT in fates.values():
        sys.exit(FAILED_EXIT_CODE)


def _show(client: Client, made: ClientFiles, form: OutputForm | None) -> None:
    for note in made.notes:
        say(f"note: {note}")
    files = [{"path": str(each.path), **_shown(each)} for each in made.files]
    words = [
        f"==> {each.path}\n{each.content.decode().rstrip()}"
        if each.link_to is None
        else f"==> {each.path} -> {each.link_to}"
        for each in made.files
    ]
    _print({"client": client.value, "files": files, "notes": list(made.notes)}, words, form)


def _shown(file: ClientFile) -> dict[str, str]:
    if file.link_to is not None:
        return {"link_to": str(file.link_to)}
    return {"content": file.content.decode()}


def _print(view: Mapping[str, Any], words: Sequence[str], form: OutputForm | None) -> None:
    if form is OutputForm.JSON:
        click.echo(orjson.dumps(view, option=orjson.OPT_INDENT_2).decode())
    elif form is OutputForm.YAML:
        click.echo(form.text(view))
    elif words:
        click.echo("\n".join(words))


def _fail(reason: str) -> NoReturn:
    say(f"facade: {reason}")
    sys.exit(FAILED_EXIT_CODE)
