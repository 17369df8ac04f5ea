"""Which certificates get through the handshake, and whom they identify."""

import asyncio
import datetime as dt
import socket
import ssl
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from deploy.dev import debian
from deploy.dev.device_ca import (
    CLIENT_AUTH,
    SERVER_AUTH,
    CertificateAuthority,
    IssuedCertificate,
)
from tests.support.device_socket import PATIENCE_SECONDS
from tests.support.device_socket import Device as SocketDevice
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Device, Facade
from tests.support.facade_states import connect, pull_path
from tests.support.raw_http import RawAnswer, raw_connection, request_bytes
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import StartFacade

ANY_USAGE = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
PRESS_7 = "spiffe://example.com/fleet/line-a/device/press-7"
PING = request_bytes(b"/v2/")
TRIES = 3


@pytest.fixture(scope="module")
def facade_settings() -> Mapping[str, str]:
    """One trust domain alone is ours."""
    return {"FACADE_DEVICE_URI_PATTERN": "spiffe://example.com/fleet/{fleet}/device/{device}"}


def other_ca(_ours: CertificateAuthority) -> IssuedCertificate:
    """Issue from a CA of the same name with another key: only the signature tells them apart."""
    return CertificateAuthority.create("test device CA").issue_device()


def intermediate_of_another_ca(_ours: CertificateAuthority) -> IssuedCertificate:
    """Issue below a stranger, chain included."""
    return CertificateAuthority.create("stranger").make_intermediate().issue_device()


def below_a_device(ours: CertificateAuthority) -> IssuedCertificate:
    """Have a device sign another device: a leaf is no CA."""
    device = ours.issue_device()
    forger = CertificateAuthority(device.certificate, device.key, device.chain_pem)
    return forger.issue_device(device="press-8")


def expired(ours: CertificateAuthority) -> IssuedCertificate:
    """Issue what ended a minute ago."""
    return ours.issue(uris=[PRESS_7], not_after=_now() - dt.timedelta(minutes=1))


def not_yet_valid(ours: CertificateAuthority) -> IssuedCertificate:
    """Issue what begins tomorrow."""
    return ours.issue(uris=[PRESS_7], not_before=_now() + dt.timedelta(days=1))


def without_usage(ours: CertificateAuthority) -> IssuedCertificate:
    """Leave the extended key usage out: OpenSSL lets that pass."""
    return ours.issue(uris=[PRESS_7], usages=())


def server_usage(ours: CertificateAuthority) -> IssuedCertificate:
    """Issue a server's certificate that names a device."""
    return ours.issue(uris=[PRESS_7], usages=(SERVER_AUTH,))


def any_usage(ours: CertificateAuthority) -> IssuedCertificate:
    """Name any usage, which is not client authentication."""
    return ours.issue(uris=[PRESS_7], usages=(ANY_USAGE,))


def self_signed(_ours: CertificateAuthority) -> IssuedCertificate:
    """Present a root as if it were a device."""
    root = CertificateAuthority.create("self-signed")
    return IssuedCertificate(root.certificate, root.key, root.pem)


REFUSED: dict[Callable[[CertificateAuthority], IssuedCertificate], str] = {
    other_ca: "unknown_ca",
    intermediate_of_another_ca: "unknown_ca",
    below_a_device: "not_a_ca",
    expired: "expired",
    not_yet_valid: "not_yet_valid",
    without_usage: "wrong_purpose",
    server_usage: "wrong_purpose",
    any_usage: "wrong_purpose",
    self_signed: "unknown_ca",
}


@pytest.mark.parametrize("issue", REFUSED)
async def test_a_wrong_certificate_fails_the_handshake(
    facade: Facade, issue: Callable[[CertificateAuthority], IssuedCertificate]
) -> None:
    """Nothing of HTTP happens: no byte of an answer, no request in the log, but the reason."""
    issued = issue(facade.files.device_ca)
    device, reason = facade.device(issued), REFUSED[issue]
    before, refused = len(facade.log_lines(event="answered")), refusals(facade, reason)
    assert await bytes_before_the_end(facade, device.tls()) == b""
    assert (await facade.device().get("/v2/")).status == 200  # the log is in order
    assert len(facade.log_lines(event="answered")) == before + 1
    assert refusals(facade, reason) == refused + 1
    (line,) = facade.log_lines(event="handshake refused", presented_serial=f"{issued.serial:x}")
    assert (line["code"], line["peer"]) == (reason, "127.0.0.1")
    assert line["presented_issuer"] == issued.certificate.issuer.rfc4514_string()


async def test_no_certificate_fails_the_handshake(facade: Facade) -> None:
    """Devices are known by their certificates alone."""
    tls = ssl.create_default_context(cafile=str(facade.files.folder / "server-ca.pem"))
    before = len(facade.log_lines(event="answered"))
    assert await bytes_before_the_end(facade, tls) == b""
    assert (await facade.device().get("/v2/")).status == 200
    assert len(facade.log_lines(event="answered")) == before + 1


@pytest.mark.parametrize("issue", [expired, other_ca, server_usage, None])
async def test_a_refused_device_is_told_why_each_time_it_tries(
    facade: Facade, issue: Callable[[CertificateAuthority], IssuedCertificate] | None
) -> None:
    """By TLS's own alert, also where it has written its request by then: no reset overtakes it."""
    tls = ssl.create_default_context(cafile=str(facade.files.folder / "server-ca.pem"))
    if issue is not None:
        tls = facade.device(issue(facade.files.device_ca)).tls()
    for _ in range(TRIES):
        with socket.create_connection(("127.0.0.1", facade.port)) as raw:
            raw.settimeout(PATIENCE_SECONDS)
            device = SocketDevice(raw, tls)
            assert "ALERT" in await asyncio.to_thread(device.refusal_after_writing, PING)


def refusals(facade: Facade, reason: str, of: str = "device_handshakes") -> float:
    """Return how many handshakes, or devices, were refused for a reason, as the metric says."""
    series = f'facade_{of}_refused_total{{reason="{reason}"}} '
    metrics = facade.operations("/metrics")[1].splitlines()
    (line,) = (each for each in metrics if each.startswith(series))
    return float(line.removeprefix(series))


async def test_a_certificate_without_its_usage_is_refused_in_the_log_too(facade: Facade) -> None:
    """Whoever issues certificates must find out what is missing."""
    device = facade.device(without_usage(facade.files.device_ca))
    before = len(facade.log_lines(event="handshake refused"))
    await bytes_before_the_end(facade, device.tls())
    lines = facade.log_lines(event="handshake refused")[before:]
    assert [line["reason"] for line in lines] == [
        "the certificate is not for client authentication"
    ]


async def test_a_device_below_an_intermediate_is_served(facade: Facade) -> None:
    """Real device CAs have intermediates, and devices send their chain."""
    intermediate = facade.files.device_ca.make_intermediate()
    answer = await facade.device(intermediate.issue_device()).get("/v2/")
    assert answer.status == 200


async def test_several_usages_with_the_clients_among_them_are_served(facade: Facade) -> None:
    """Some CAs issue one certificate for both sides."""
    issued = facade.files.device_ca.issue(uris=[PRESS_7], usages=(SERVER_AUTH, CLIENT_AUTH))
    assert (await facade.device(issued).get("/v2/")).status == 200


TWO = ["spiffe://example.com/fleet/line-a/device/press-7", "spiffe://example.com/fleet/b/device/c"]
NOBODY_BY_URI: dict[str, Callable[[CertificateAuthority], IssuedCertificate]] = {
    "two URIs": lambda ca: ca.issue(uris=TWO),
    "the same URI twice": lambda ca: ca.issue(uris=[PRESS_7, PRESS_7]),
    "two URIs, one foreign": lambda ca: ca.issue(uris=[PRESS_7, "https://example.com/"]),
    "no names at all": lambda ca: ca.issue(),
    "a DNS name alone": lambda ca: ca.issue(dns=["press-7.example.com"]),
    "a DNS name that is a URI": lambda ca: ca.issue(dns=[PRESS_7]),
    "a common name that is a URI": lambda ca: ca.issue(common_name=PRESS_7),
    "a subject of fleet and device": lambda ca: ca.issue(
        common_name="press-7", organizational_unit="line-a"
    ),
    "another scheme": lambda ca: ca.issue(uris=["https://example.com/fleet/line-a/device/x"]),
    "another trust domain": lambda ca: ca.issue_device(trust_domain="example.org"),
    "below a CA of another trust domain": lambda ca: ca.make_intermediate(
        trust_domain="example.org"
    ).issue_device(),
    "a trust domain below": lambda ca: ca.issue_device(trust_domain="a.example.com"),
    "a trust domain with a port": lambda ca: ca.issue_device(trust_domain="example.com:443"),
    "a trust domain with a user": lambda ca: ca.issue_device(trust_domain="u@example.com"),
    "an upper-case scheme": lambda ca: ca.issue(uris=[PRESS_7.replace("spiffe", "SPIFFE")]),
    "an upper-case trust domain": lambda ca: ca.issue_device(trust_domain="Example.com"),
    "another path": lambda ca: ca.issue(uris=["spiffe://example.com/device/press-7"]),
    "a longer path": lambda ca: ca.issue(uris=[f"{PRESS_7}/more"]),
    "a final slash": lambda ca: ca.issue(uris=[f"{PRESS_7}/"]),
    "a query": lambda ca: ca.issue(uris=[f"{PRESS_7}?x=y"]),
    "a fragment": lambda ca: ca.issue(uris=[f"{PRESS_7}#x"]),
    "an escape": lambda ca: ca.issue(uris=[PRESS_7.replace("-7", "%2d7")]),
    "an empty device": lambda ca: ca.issue_device(device=""),
    "a device of dots": lambda ca: ca.issue_device(device=".."),
    "an empty fleet": lambda ca: ca.issue_device(fleet=""),
    "a line break": lambda ca: ca.issue_device(device="press-7\n"),
    "a NUL": lambda ca: ca.issue_device(device="press-7\0.evil"),
}


@pytest.mark.parametrize("shape", NOBODY_BY_URI)
async def test_a_certificate_that_identifies_nobody_is_denied(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator, shape: str
) -> None:
    """403 and the end of the connection, whatever is asked for: even the version check."""
    digest = upstream.blob(b"content")
    await connect(facade, writer, upstream)
    issued = NOBODY_BY_URI[shape](facade.files.device_ca)
    device = facade.device(issued)
    before = refusals(facade, "unidentified", of="devices")
    for target in ("/v2/", pull_path(upstream, digest), "/nonsense"):
        await require_denied(device, target, "the certificate identifies no device")
    assert upstream.requests == []
    assert refusals(facade, "unidentified", of="devices") == before + 3
    lines = facade.log_lines(event="answered", presented_serial=f"{issued.serial:x}")
    assert [(each["device"], each["peer"]) for each in lines] == [(None, "127.0.0.1")] * 3
    assert lines[0]["presented_issuer"] == issued.certificate.issuer.rfc4514_string()


@pytest.fixture
def facade_of_kind(
    new_database: Callable[[], FacadeDatabase], start_facade: StartFacade
) -> Callable[[str], Facade]:
    """Start a facade that reads another kind of name."""

    def start(kind: str) -> Facade:
        database = new_database()
        return start_facade(
            StatementWriter(database.owner_url),
            database.facade_url,
            {"FACADE_DEVICE_IDENTITY": kind},
        )

    return start


async def test_dns_names_identify_where_they_are_configured_and_nothing_else_does(
    facade_of_kind: Callable[[str], Facade],
) -> None:
    """There is no fallback: a URI or a subject that would do elsewhere identifies nobody here."""
    facade = facade_of_kind("dns")
    ca = facade.files.device_ca
    served = ca.issue(dns=["press-7.example.com"])
    served_beside_others = ca.issue(
        dns=["press-8.example.com"], uris=[PRESS_7], common_name="x", organizational_unit="y"
    )
    for issued, name in (
        (served, "press-7.example.com"),
        (served_beside_others, "press-8.example.com"),
    ):
        assert (await facade.device(issued).get("/v2/")).status == 200
        assert facade.log_lines(event="answered")[-1]["device"] == name
    for denied in (
        ca.issue_device(),
        ca.issue(),
        ca.issue(dns=["a.example.com", "b.example.com"]),
        ca.issue(dns=["*.example.com"]),
        ca.issue(dns=["UPPER.example.com"]),
        ca.issue(dns=["a..example.com"]),
        ca.issue(dns=["press-7.example.com."]),
        ca.issue(ips=["192.0.2.1"]),
        ca.issue(common_name="press-7.example.com"),
        ca.issue(common_name="press-7", organizational_unit="line-a"),
    ):
        await require_denied(facade.device(denied), "/v2/", "the certificate identifies no device")


async def test_subjects_identify_where_they_are_configured_and_nothing_else_does(
    facade_of_kind: Callable[[str], Facade],
) -> None:
    """The common name is the device, the organizational unit the fleet, and both must be there."""
    facade = facade_of_kind("subject")
    ca = facade.files.device_ca
    issued = ca.issue(common_name="press-7", organizational_unit="line-a", uris=[PRESS_7, PRESS_7])
    assert (await facade.device(issued).get("/v2/")).status == 200
    assert facade.log_lines(event="answered")[-1]["device"] == "press-7"
    for denied in (
        ca.issue_device(),
        ca.issue(common_name="press-7"),
        ca.issue(common_name=None, organizational_unit="line-a"),
        ca.issue(common_name="press 7", organizational_unit="line-a"),
        ca.issue(common_name="press/7", organizational_unit="line-a"),
        ca.issue(common_name="press-7", organizational_unit="line a"),
        ca.issue(common_name=None, organizational_unit=None, uris=[PRESS_7]),
        ca.issue(dns=["press-7.example.com"]),
    ):
        await require_denied(facade.device(denied), "/v2/", "the certificate identifies no device")


async def test_a_connection_is_cut_when_its_certificate_expires(facade: Facade) -> None:
    """A connection may stay open for longer than the certificate that it was opened with."""
    async with raw_connection(facade.device()) as other:
        await other.send(PING)
        assert (await other.answer()).status == 200
        seconds = 1
        while not await is_cut_at_its_end(facade, seconds):
            seconds *= 2
        await other.send(PING)
        assert (await other.answer()).status == 200


async def is_cut_at_its_end(facade: Facade, seconds: int) -> bool:
    """Tell whether a certificate that ends so soon served until then; False if it ended before."""
    ends = _now().replace(microsecond=0) + dt.timedelta(seconds=1 + seconds)
    device = facade.device(facade.files.device_ca.issue(uris=[PRESS_7], not_after=ends))
    try:
        async with raw_connection(device) as connection:
            await connection.send(PING)
            assert (await connection.answer()).status == 200
            assert await connection.until_reset() == b""
    except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
        assert _now() >= ends
        return False
    assert _now() >= ends
    return True


async def test_tls_12_is_refused_by_default(facade: Facade) -> None:
    """TLS 1.2 is for those who must, and say so."""
    device = facade.device(maximum_version=ssl.TLSVersion.TLSv1_2)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        async with raw_connection(device):
            pass


async def test_a_tls_13_session_is_not_offered(facade: Facade) -> None:
    """What is never given out is never resumed."""
    device = facade.device()
    first, reused, session = await asyncio.to_thread(ask_blocking, device, None)
    assert (first[:12], reused) == (b"HTTP/1.1 200", False)
    assert session is None or not session.has_ticket


async def test_a_tls_12_session_is_not_resumed(facade_of_minimum_12: Facade) -> None:
    """A resumed session was seen to accept an expired certificate and to skip the CRL."""
    facade = facade_of_minimum_12
    device = facade.device(maximum_version=ssl.TLSVersion.TLSv1_2)
    tls = device.tls()
    first, reused, session = await asyncio.to_thread(ask_blocking, device, None, tls)
    assert (first[:12], reused) == (b"HTTP/1.1 200", False)
    assert session is not None
    second, reused, _ = await asyncio.to_thread(ask_blocking, device, session, tls)
    assert (second[:12], reused) == (b"HTTP/1.1 200", False)


async def test_openssl_finds_no_session_to_resume(
    facade_of_minimum_12: Facade, tmp_path: Path
) -> None:
    """The client that finds what others do not try, in either version of TLS."""
    device = facade_of_minimum_12.device()
    for version in ("-tls1_2", "-tls1_3"):
        session = tmp_path / f"session{version}"
        first = await s_client(device, version, "-sess_out", str(session))
        assert b"HTTP/1.1 200" in first
        assert b"New Session Ticket" not in first
        if session.exists():
            second = await s_client(device, version, "-sess_in", str(session))
            assert b"Reused" not in second
            assert b"HTTP/1.1 200" in second


@pytest.fixture
def facade_of_minimum_12(
    new_database: Callable[[], FacadeDatabase], start_facade: StartFacade
) -> Facade:
    """A facade whose operator allows TLS 1.2."""
    database = new_database()
    return start_facade(
        StatementWriter(database.owner_url), database.facade_url, {"FACADE_TLS_MINIMUM": "1.2"}
    )


async def bytes_before_the_end(facade: Facade, tls: ssl.SSLContext) -> bytes:
    """Return what comes over a connection before it ends, the handshake's failure included.

    In TLS 1.3 a client has finished when the server looks at its certificate: it may have sent
    its request, and learns at its first read.
    """
    try:
        async with raw_connection(facade.device(), tls) as connection:
            await connection.send(PING)
            return await connection.rest()
    except (ssl.SSLError, ConnectionError):
        return b""


async def require_denied(device: Device, target: str, message: str) -> None:
    """Fail unless the answer is 403 and the connection's end."""
    async with raw_connection(device) as connection:
        await connection.send(request_bytes(target.encode()))
        require_denied_answer(await connection.answer(), message)
        assert await connection.rest() == b""


def require_denied_answer(answer: RawAnswer, message: str) -> None:
    """Fail unless the answer is that of a device that is not let in."""
    assert answer.status == 403
    assert answer.header("Connection") == "close"
    assert (answer.error["code"], answer.error["message"]) == ("DENIED", message)


def ask_blocking(
    device: Device, session: ssl.SSLSession | None, tls: ssl.SSLContext | None = None
) -> tuple[bytes, bool, ssl.SSLSession | None]:
    """Return the answer, whether the session was resumed, and the session to resume.

    With the standard library's blocking sockets: asyncio's streams offer no sessions.
    """
    tls = tls or device.tls()
    with (
        socket.create_connection(("localhost", device.facade.port), timeout=10) as plain,
        tls.wrap_socket(plain, server_hostname="localhost", session=session) as connection,
    ):
        received = bytearray()
        try:
            connection.sendall(request_bytes(b"/v2/", headers=b"Connection: close\r\n"))
            while piece := connection.recv(65536):
                received += piece
        except (ssl.SSLError, ConnectionError):
            pass  # a reset is what a resumed session is to get
        return bytes(received), bool(connection.session_reused), connection.session


async def s_client(device: Device, *options: str) -> bytes:
    """Return what `openssl s_client` prints."""
    openssl = str(debian.program("openssl", "openssl"))
    command = [openssl, "s_client", "-connect", f"localhost:{device.facade.port}"]
    command += ["-cert", str(device.files.certificate), "-key", str(device.files.key)]
    request = request_bytes(b"/v2/", headers=b"Connection: close\r\n")
    completed = await asyncio.to_thread(
        subprocess.run,
        [*command, "-ign_eof", *options],
        input=request,
        capture_output=True,
        check=False,
        timeout=20,
    )
    return bytes(completed.stdout)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
