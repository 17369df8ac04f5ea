"""`facade identify`: who a device would be, and what it might pull."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NoReturn

import click
import orjson
import uvloop
from cryptography import x509

from facade.approvals.read_once import read_approvals
from facade.commands.command_run import FAILED_EXIT_CODE, say
from facade.commands.identified import (
    MAX_LISTED,
    Identified,
    NotLetInError,
    UnusableCertificateError,
    connection_words,
    identified,
    let_in,
    read_chain,
)
from facade.devices.device_tls import BelievedCertificates
from facade.devices.revocation_list import MAX_FILE_BYTES as MAX_CRL_FILE_BYTES
from facade.errors import CommandError, UnusableSettingError
from facade.serving.config import PREFIX, FacadeSettings, IdentifySettings, UpstreamSettings
from facade.serving.setting_files import MAX_FILE_BYTES
from facade.serving.startup_files import identification_of
from shared import structured_log
from shared.bounded_file import read_bounded
from shared.command_examples import ExemplaryCommand
from shared.environment import (
    CONFIGURATION_ERROR_EXIT_CODE,
    ConfigurationError,
    exit_with_configuration_error,
    load,
)
from shared.keys import InvalidKeyFileError, load_statement_public_keys
from shared.log_fields import bounded_text
from shared.output_form import OutputForm, output_form
from shared.unreadable_file import why_unreadable

MAX_CERTIFICATE_FILE_BYTES: Final = 64 * 1024  # a chain of some ten certificates

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("identify", cls=ExemplaryCommand, examples=("facade identify press-7.pem",))
@click.argument("certificate", type=_FILE, metavar="CERT.pem")
@output_form
def identify(certificate: Path, *, form: OutputForm | None) -> None:
    """Say who a device would be, and what it might pull.

    CERT.pem holds the device's certificate, with the CAs that it sends. It is judged as at a
    handshake, by the files and approvals as they are now; only the key is not asked for. The state
    folder of a facade that serves is not looked at.
    """
    structured_log.configure("warning", structured_log.STANDARD_ERROR)
    try:
        settings = load(IdentifySettings, PREFIX, beside=(FacadeSettings, UpstreamSettings))
        chain = read_chain(_content(certificate))
        found = uvloop.run(_identify(settings, chain))
    except ConfigurationError as error:
        exit_with_configuration_error(error)
    except (UnusableCertificateError, UnusableSettingError, InvalidKeyFileError) as error:
        _exit(str(error), CONFIGURATION_ERROR_EXIT_CODE)
    except CommandError as error:
        _exit(str(error), FAILED_EXIT_CODE)
    _print(found, form)
    sys.exit(0 if found.is_let_in else FAILED_EXIT_CODE)


async def _identify(settings: IdentifySettings, chain: list[x509.Certificate]) -> Identified:
    crl, profiles = settings.device_crl_file, settings.device_profiles_file
    believed = BelievedCertificates.load(
        read_bounded(settings.device_ca_file, MAX_FILE_BYTES),
        read_bounded(crl, MAX_CRL_FILE_BYTES) if crl else None,
    )
    content = read_bounded(profiles, MAX_FILE_BYTES) if profiles else None
    rule = identification_of(settings, content)
    try:
        device = let_in(chain, believed, rule)
    except NotLetInError as error:
        return Identified(chain[0], None, str(error))
    public_keys = load_statement_public_keys(
        read_bounded(settings.statement_public_key_file, MAX_FILE_BYTES)
    )
    approvals = await read_approvals(settings.database_url, public_keys, also=device.subjects)
    for refused in approvals.refused:
        say(f"note: the database's {refused.row.subject} is not believed: {refused.reason}")
    return identified(chain[0], device, approvals.snapshot)


def _content(path: Path) -> bytes:
    try:
        return read_bounded(path, MAX_CERTIFICATE_FILE_BYTES)
    except OSError as error:
        raise UnusableCertificateError(f"{path}: {why_unreadable(error)}") from None


def _print(found: Identified, form: OutputForm | None) -> None:
    if form is OutputForm.JSON:
        click.echo(orjson.dumps(found.view(), option=orjson.OPT_INDENT_2).decode())
    elif form is OutputForm.YAML:
        click.echo(form.text(found.view()))
    else:
        click.echo("\n".join(map(bounded_text, _words(found))))


def _words(found: Identified) -> Iterator[str]:
    if found.identity is not None:
        yield f"device: {found.identity.id}"
        yield f"fleet: {found.identity.fleet or 'none'}"
        also = ", ".join(found.identity.other_names)
        yield from [f"also revoked as: {also}"] if also else []
    if found.problem is not None:
        yield f"not let in: {found.problem}"
        return
    yield "may pull:" if found.connections else "may pull: nothing that is approved"
    yield from (f"  {connection_words(each)}" for each in found.connections[:MAX_LISTED])
    if (more := len(found.connections) - MAX_LISTED) > 0:
        yield f"  and through {more} more connections"


def _exit(reason: str, status: int) -> NoReturn:
    say(f"facade: {reason}")
    sys.exit(status)
