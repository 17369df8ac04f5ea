"""The control plane's own certificate: what its files may hold, and until when it is good."""

import datetime as dt
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from control_plane.http.server_tls import CERTIFICATE, ENDS_SOON, KEY, ServerTls, TlsFilesError
from control_plane.http.tls_reload import ReloadedTls
from control_plane.troubles import ControlPlanePart, Trouble
from deploy.dev.device_ca import SERVER_AUTH, CertificateAuthority, IssuedCertificate

AUTHORITY = CertificateAuthority.create("control plane tests CA")
FIRST, SECOND = AUTHORITY.issue_server(), AUTHORITY.issue_server()
RSA = rsa.generate_private_key(65537, 2048).private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
)
WITH_PASSWORD = FIRST.key.private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
)
SECOND_OF_TIME = dt.timedelta(seconds=1)


def contents(certificate: bytes = FIRST.chain_pem, key: bytes = FIRST.key_pem) -> dict[str, bytes]:
    """Return what the two files hold."""
    return {CERTIFICATE: certificate, KEY: key}


@pytest.mark.parametrize(
    "certificate, key, setting, words",
    [
        (FIRST.key_pem, FIRST.key_pem, CERTIFICATE, "it holds an EC private key"),
        (b"", FIRST.key_pem, CERTIFICATE, "it holds nothing: it is empty"),
        (FIRST.chain_pem[:-30], FIRST.key_pem, CERTIFICATE, "it holds PEM that is cut off"),
        (FIRST.chain_pem, FIRST.chain_pem, KEY, "it holds a certificate"),
        (FIRST.chain_pem, WITH_PASSWORD, KEY, "it holds a private key with a password"),
        (FIRST.chain_pem, b"canary", KEY, "it holds no PEM"),
        (FIRST.chain_pem, SECOND.key_pem, KEY, "the two do not match"),
        (FIRST.chain_pem, RSA, KEY, "the two do not match"),
    ],
)
def test_files_that_make_no_server_are_told_apart(
    certificate: bytes, key: bytes, setting: str, words: str
) -> None:
    """Which of the two is wrong, and what it holds; nothing of it is quoted."""
    with pytest.raises(TlsFilesError, match=words) as refused:
        ServerTls.of(contents(certificate, key))
    assert refused.value.setting == setting
    assert "canary" not in str(refused.value)


def test_no_password_is_asked_for_on_a_terminal() -> None:
    """OpenSSL would, and the start would hang."""
    with pytest.raises(TlsFilesError, match="a private key with a password"):
        ServerTls.of(contents(key=WITH_PASSWORD))


def test_a_certificate_is_told_of_ahead_of_its_end() -> None:
    """A week before, and as what keeps the process from serving once it is over."""
    pair = ServerTls.of(contents())
    ends, begins = pair.expires_at, pair.valid_from
    for now, kind, stops in (
        (begins - SECOND_OF_TIME, "not valid yet", True),
        (ends - ENDS_SOON, "expires soon", False),
        (ends, "expired", True),
    ):
        (trouble,) = pair.troubles(now)
        assert (trouble.part, trouble.kind, trouble.stops) == (
            ControlPlanePart.SERVER_CERTIFICATE,
            kind,
            stops,
        )
        assert trouble.words.startswith(f"{CERTIFICATE}: ")
    for now in (begins, ends - ENDS_SOON - SECOND_OF_TIME):
        assert list(pair.troubles(now)) == []


OLD_CA = AUTHORITY.make_intermediate(
    not_after=dt.datetime.now(dt.UTC) - SECOND_OF_TIME,
    not_before=dt.datetime.now(dt.UTC) - dt.timedelta(days=9),
)


@pytest.mark.parametrize(
    "issued, kind, stops",
    [
        (AUTHORITY.issue(dns=["localhost"]), "not for servers", True),
        (AUTHORITY.issue(common_name="localhost", usages=(SERVER_AUTH,)), "no names", False),
        (AUTHORITY.issue(uris=["spiffe://a.example/server"], usages=()), "no names", False),
        (OLD_CA.issue_server(), "chain", False),
    ],
)
def test_a_certificate_that_clients_refuse_is_told(
    issued: IssuedCertificate, kind: str, *, stops: bool
) -> None:
    """It is of the right CA and begins today; nobody who verifies it takes it for a server's."""
    pair = ServerTls.of(contents(issued.chain_pem, issued.key_pem))
    (trouble,) = pair.troubles(dt.datetime.now(dt.UTC))
    assert (trouble.part, trouble.kind, trouble.stops) == (
        ControlPlanePart.SERVER_CERTIFICATE,
        kind,
        stops,
    )
    assert trouble.words.startswith(f"{CERTIFICATE}: ")


def test_a_certificate_without_usages_is_for_servers() -> None:
    """As RFC 5280 has it."""
    issued = AUTHORITY.issue(dns=["localhost"], usages=())
    pair = ServerTls.of(contents(issued.chain_pem, issued.key_pem))
    assert list(pair.troubles(dt.datetime.now(dt.UTC))) == []


class Shown:
    """Takes the place of the listener: what clients would be shown."""

    def __init__(self) -> None:
        """Show nothing yet."""
        self.contexts: list[ssl.SSLContext] = []
        self.error: OSError | None = None

    async def present(self, context: ssl.SSLContext) -> None:
        """Take a context, or fail as a listener without descriptors does."""
        if self.error is not None:
            raise self.error
        self.contexts.append(context)


@pytest.fixture
def files(tmp_path: Path) -> Callable[[IssuedCertificate], Path]:
    """Return what writes a pair into one folder."""

    def write(issued: IssuedCertificate) -> Path:
        return issued.write(tmp_path, "server").certificate

    return write


def loaded(certificate: Path) -> ReloadedTls:
    """Return the pair of a folder, as `serve` reads it."""
    tls = ReloadedTls.load(certificate, certificate.with_suffix(".key"))
    assert tls is not None
    return tls


def kinds(tls: ReloadedTls) -> set[tuple[ControlPlanePart, bool]]:
    """Return the parts that have a trouble now, and whether it stops the process."""
    troubles: list[Trouble] = list(tls.troubles(dt.datetime.now(dt.UTC)))
    return {(trouble.part, trouble.stops) for trouble in troubles}


async def test_a_renewed_pair_is_taken_over(files: Callable[[IssuedCertificate], Path]) -> None:
    """Once, and nothing is done while nothing changes."""
    tls, shown = loaded(files(FIRST)), Shown()
    await tls.look(shown.present)
    assert shown.contexts == []
    files(SECOND)
    await tls.look(shown.present)
    await tls.look(shown.present)
    assert shown.contexts == [tls.current.context]
    assert kinds(tls) == set()


@pytest.mark.parametrize(
    "suffix, content",
    [
        (".pem", SECOND.chain_pem),  # half of a new pair
        (".key", SECOND.key_pem),
        (".pem", b"nonsense"),
        (".key", b""),
        (".pem", None),
    ],
)
async def test_a_broken_file_keeps_the_old_pair_until_it_is_mended(
    files: Callable[[IssuedCertificate], Path], suffix: str, content: bytes | None
) -> None:
    """And says so meanwhile; what is put back is no change."""
    certificate = files(FIRST)
    tls, shown = loaded(certificate), Shown()
    before, broken = tls.current, certificate.with_suffix(suffix)
    broken.unlink()
    if content is not None:
        broken.write_bytes(content)
    await tls.look(shown.present)
    assert (tls.current, shown.contexts) == (before, [])
    assert kinds(tls) == {(ControlPlanePart.FILES, False)}
    assert tls.refused
    files(FIRST)
    await tls.look(shown.present)
    assert (tls.current, shown.contexts, dict(tls.refused)) == (before, [], {})
    files(SECOND)
    await tls.look(shown.present)
    assert shown.contexts == [tls.current.context]


async def test_a_listener_that_fails_is_tried_again(
    files: Callable[[IssuedCertificate], Path],
) -> None:
    """What clients are not shown yet is not said to be in use."""
    tls, shown = loaded(files(FIRST)), Shown()
    before = tls.current
    files(SECOND)
    shown.error = OSError(24, "Too many open files")
    await tls.look(shown.present)
    assert tls.current is before
    shown.error = None
    await tls.look(shown.present)
    assert tls.current is not before
    assert shown.contexts == [tls.current.context]
