"""A refused handshake says why: in the metric by reason, and in words in the log, within bounds."""

import asyncio
import datetime as dt
import re
import socket
import ssl
import struct
import subprocess
import warnings
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from prometheus_client import CollectorRegistry

from deploy.dev.debian import REPOSITORY
from deploy.dev.device_ca import (
    CLIENT_AUTH,
    SERVER_AUTH,
    CertificateAuthority,
    IssuedCertificate,
)
from facade.devices.certificate_problem import CertificateProblem
from facade.devices.handshake_end import (
    LEFT,
    LEFT_SILENTLY,
    TIMED_OUT,
    Ending,
    HandshakeEnd,
    ending_of_certificate,
    ending_of_problem,
    ending_of_tls,
)
from facade.devices.refused_handshakes import LINES_A_WINDOW, RefusedHandshakes
from facade.metrics.device_metrics import DeviceMetrics
from facade.values.device_identity import IdentityRule
from shared.identity_form import DEFAULT_URI_PATTERN, IdentityKind, compile_uri_pattern
from tests.support.device_door import BOTH_VERSIONS, DeviceDoor, device_door
from tests.support.eventually import PATIENCE_SECONDS, eventually

NOW = dt.datetime.now(dt.UTC)
AGO, LATER = NOW - dt.timedelta(minutes=5), NOW + dt.timedelta(days=1)
URI = "spiffe://example.com/fleet/line-a/device/press-7"
CA = CertificateAuthority.create("device root")
LISTED = CA.issue_device()
STRANGER = CertificateAuthority.create("stranger root")
TLS_1_2, TLS_1_3 = BOTH_VERSIONS
RULE = IdentityRule(IdentityKind.SPIFFE, compile_uri_pattern(DEFAULT_URI_PATTERN))


@pytest.fixture
async def door(server_ca: CertificateAuthority, tmp_path: Path) -> AsyncIterator[DeviceDoor]:
    """A facade with a CRL that names one device."""
    crl = CA.crl([LISTED.serial])
    async with device_door(server_ca, tmp_path, device_ca=CA.pem, device_crl=crl) as opened:
        yield opened


def lines(capfd: pytest.CaptureFixture[str], event: str = "handshake refused") -> list[Any]:
    """Return what was logged since the last time, on by default."""
    logged = [orjson.loads(line) for line in capfd.readouterr().err.splitlines()]
    return [line for line in logged if line["event"] == event]


def forged() -> IssuedCertificate:
    """Change what the CA has signed: the last byte of the signature is another."""
    issued = CA.issue_device()
    der = bytearray(issued.certificate.public_bytes(Encoding.DER))
    der[-1] ^= 1
    certificate = x509.load_der_x509_certificate(bytes(der))
    return IssuedCertificate(certificate, issued.key, certificate.public_bytes(Encoding.PEM))


def below_a_device() -> IssuedCertificate:
    """Have a device sign another one."""
    device = CA.issue_device()
    return CertificateAuthority(device.certificate, device.key, device.chain_pem).issue_device()


def with_critical_extension() -> IssuedCertificate:
    """Add what nobody knows, and what may not be passed over."""
    issued = CA.issue_device()
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    builder = x509.CertificateBuilder(
        issuer_name=CA.certificate.subject,
        subject_name=issued.certificate.subject,
        public_key=issued.key.public_key(),
        serial_number=issued.serial,
        not_valid_before=AGO,
        not_valid_after=LATER,
    ).add_extension(unknown, critical=True)
    certificate = builder.sign(CA.key, hashes.SHA256())
    return IssuedCertificate(certificate, issued.key, certificate.public_bytes(Encoding.PEM))


def weak() -> IssuedCertificate:
    """Take an RSA key of 1,024 bits."""
    issued = CA.issue_device()
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505 - too small is the point
    builder = x509.CertificateBuilder(
        issuer_name=CA.certificate.subject,
        subject_name=issued.certificate.subject,
        public_key=key.public_key(),
        serial_number=issued.serial,
        not_valid_before=AGO,
        not_valid_after=LATER,
    )
    certificate = builder.sign(CA.key, hashes.SHA256())
    return IssuedCertificate(certificate, key, certificate.public_bytes(Encoding.PEM))  # type: ignore[arg-type]  # not an EC key


CERTIFICATES: dict[str, tuple[Callable[[], IssuedCertificate], str, str]] = {
    "of an unknown CA": (
        STRANGER.issue_device,
        "unknown_ca",
        "the device's certificate was issued by a CA that FACADE_DEVICE_CA_FILE does not hold",
    ),
    "of an unknown CA's intermediate": (
        STRANGER.make_intermediate("between").issue_device,
        "unknown_ca",
        "a CA's certificate was issued by a CA that FACADE_DEVICE_CA_FILE does not hold",
    ),
    "self-signed": (
        lambda: IssuedCertificate(STRANGER.certificate, STRANGER.key, STRANGER.pem),
        "unknown_ca",
        "the device's certificate is self-signed, and FACADE_DEVICE_CA_FILE does not hold it",
    ),
    "expired": (
        lambda: CA.issue(uris=[URI], not_after=AGO),
        "expired",
        "the device's certificate has expired",
    ),
    "not valid yet": (
        lambda: CA.issue(uris=[URI], not_before=LATER),
        "not_yet_valid",
        "the device's certificate is not valid yet",
    ),
    "in the CRL": (
        lambda: LISTED,
        "revoked",
        "the device's certificate is in the CRL of the CA that issued it",
    ),
    "of a CA without a CRL": (
        CA.make_intermediate().issue_device,
        "no_crl",
        "FACADE_DEVICE_CRL_FILE holds no CRL of the CA that issued the device's certificate",
    ),
    "a server's": (
        lambda: CA.issue(uris=[URI], usages=(SERVER_AUTH,)),
        "wrong_purpose",
        "the device's certificate is not for client authentication (extended key usage)",
    ),
    "without a usage": (
        lambda: CA.issue(uris=[URI], usages=()),
        "wrong_purpose",
        "the certificate is not for client authentication",
    ),
    "with a forged signature": (
        forged,
        "bad_signature",
        "the signature on the device's certificate is not that of the CA that it names",
    ),
    "of a device": (
        below_a_device,
        "not_a_ca",
        "a CA's certificate has issued another one, and is no CA's",
    ),
    "with an unknown critical extension": (
        with_critical_extension,
        "invalid_certificate",
        "the device's certificate has an unknown critical extension",
    ),
}


@pytest.mark.parametrize("version", BOTH_VERSIONS)
@pytest.mark.parametrize("case", CERTIFICATES)
async def test_a_refused_certificate_is_named_with_its_reason(
    door: DeviceDoor, capfd: pytest.CaptureFixture[str], case: str, version: ssl.TLSVersion
) -> None:
    """By reason, words, peer, and what the certificate says of itself."""
    issue, reason, words = CERTIFICATES[case]
    issued = issue()
    assert await door.refusal(door.device(issued, version)) == reason
    (line,) = lines(capfd)
    assert (line["level"], line["code"], line["reason"]) == ("warning", reason, words)
    assert line["peer"] == "127.0.0.1"
    assert line["presented_serial"] == f"{issued.serial:x}"
    assert line["presented_issuer"] == issued.certificate.issuer.rfc4514_string()
    assert line["presented_subject"] == issued.certificate.subject.rfc4514_string()
    is_device = case not in {"self-signed", "with an unknown critical extension"}
    assert line["presented_device"] == (URI if is_device else None)
    assert await door.refusal(door.device(CA.issue_device(), version)) is None


async def test_of_an_unknown_ca_the_name_is_told(
    door: DeviceDoor, capfd: pytest.CaptureFixture[str]
) -> None:
    """The one that is missing: above the intermediate, where the device sent that."""
    between = STRANGER.make_intermediate("between")
    issued = between.issue_device()
    leaf_alone = issued.certificate.public_bytes(Encoding.PEM)
    for chain, name in (
        (leaf_alone, "CN=between"),
        (issued.chain_pem, "CN=stranger root"),
        (issued.chain_pem + STRANGER.pem, "CN=stranger root"),
    ):
        again = between.issue_device()
        presented = chain.replace(leaf_alone, again.certificate.public_bytes(Encoding.PEM))
        assert await door.refusal(door.device(again, TLS_1_3, presented)) == "unknown_ca"
        (line,) = lines(capfd)
        assert (line["unknown_ca"], line["presented_issuer"]) == (name, "CN=between")


async def test_of_a_chain_the_ca_that_is_wrong_is_named(
    server_ca: CertificateAuthority, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The device's own certificate is good."""
    expired = CA.make_intermediate("expired CA", not_after=AGO)
    async with device_door(server_ca, tmp_path, device_ca=CA.pem) as door:
        assert await door.refusal(door.device(expired.issue_device())) == "expired"
    (line,) = lines(capfd)
    assert line["reason"] == "a CA's certificate has expired"
    assert line["presented_ca"] == "CN=expired CA"


async def s_client(door: DeviceDoor, *options: str, issued: IssuedCertificate | None) -> None:
    """Have OpenSSL's own client shake hands, and leave."""
    ca = door.folder / "server-ca.pem"
    ca.write_bytes(door.server_ca.pem)
    command = ["openssl", "s_client", "-connect", f"localhost:{door.port}", "-CAfile", str(ca)]
    if issued is not None:
        files = issued.write(door.folder, f"s-client-{issued.serial:x}")
        command += ["-cert", str(files.certificate), "-key", str(files.key)]
    command += ["-quiet", "-no_ign_eof", *options]
    await asyncio.to_thread(
        subprocess.run, command, input=b"", capture_output=True, timeout=PATIENCE_SECONDS
    )


NOTHING_IN_COMMON: dict[str, tuple[str, tuple[str, ...], str, str]] = {
    "TLS 1.2 where 1.3 is the least": ("1.3", ("-tls1_2",), "tls_version", "FACADE_TLS_MINIMUM"),
    "TLS 1.1": ("1.2", ("-tls1_1", "-cipher", "ALL@SECLEVEL=0"), "tls_version", "TLS version"),
    "a curve that we do not have": ("1.3", ("-tls1_3", "-curves", "ffdhe6144"), "curve", "curve"),
    "a curve that we do not have in TLS 1.2": (
        "1.2",
        ("-tls1_2", "-curves", "brainpoolP256r1", "-cipher", "ECDHE"),
        "cipher",
        "in TLS 1.2: or curve",
    ),
    "a cipher suite without forward secrecy": (
        "1.2",
        ("-tls1_2", "-cipher", "AES128-SHA"),
        "cipher",
        "cipher suite",
    ),
    "a cipher suite of TLS 1.3 that we do not have": (
        "1.3",
        ("-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_8_SHA256"),
        "cipher",
        "cipher suite",
    ),
    "signatures that our certificate cannot give": (
        "1.3",
        ("-tls1_3", "-sigalgs", "rsa_pss_rsae_sha256"),
        "signature_algorithm",
        "signature algorithm",
    ),
}


@pytest.mark.parametrize("case", NOTHING_IN_COMMON)
async def test_what_the_two_ends_do_not_have_in_common_is_named(
    server_ca: CertificateAuthority, tmp_path: Path, capfd: pytest.CaptureFixture[str], case: str
) -> None:
    """As an old device, or one whose cryptography a policy restricts, meets it."""
    minimum, options, reason, words = NOTHING_IN_COMMON[case]
    async with device_door(server_ca, tmp_path, device_ca=CA.pem, minimum=minimum) as door:
        await s_client(door, *options, issued=CA.issue_device())
        assert await door.until_refused({}) == reason
        (line,) = lines(capfd)
        assert (line["code"], line["peer"]) == (reason, "127.0.0.1")
        assert words in line["reason"]


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_a_device_without_a_certificate_or_that_does_not_believe_us_is_told_of(
    door: DeviceDoor, capfd: pytest.CaptureFixture[str], version: str
) -> None:
    """Both are mistakes in the device's own configuration."""
    await s_client(door, version, issued=None)
    assert await door.until_refused({}) == "no_certificate"
    (line,) = lines(capfd)
    assert line["reason"] == "the device presented no certificate"
    before = door.reasons()
    other = door.folder / "other.pem"
    other.write_bytes(STRANGER.pem)
    options = ("-CAfile", str(other), "-verify_return_error")
    await s_client(door, version, *options, issued=CA.issue_device())
    assert await door.until_refused(before) == "device_refused"
    (line,) = lines(capfd)
    assert line["reason"] == "the device ended it and said: unknown ca"


async def test_a_weak_key_is_named(door: DeviceDoor, capfd: pytest.CaptureFixture[str]) -> None:
    """Old devices have RSA keys of 1,024 bits, which their own TLS still allows."""
    await s_client(door, "-cipher", "DEFAULT@SECLEVEL=0", issued=weak())
    assert await door.until_refused({}) == "weak_certificate"
    (line,) = lines(capfd)
    assert line["reason"] == "the key of the device's certificate is too weak"


async def test_a_chain_without_end_is_named(
    door: DeviceDoor, capfd: pytest.CaptureFixture[str]
) -> None:
    """OpenSSL reads 100 KiB of it and no more."""
    issued = CA.issue_device()
    tls = door.device(issued, TLS_1_3, issued.chain_pem + 250 * STRANGER.pem)
    assert await door.refusal(tls) == "chain_too_long"
    (line,) = lines(capfd)
    assert line["reason"] == "the device's certificates are too long"


RAW: dict[str, tuple[bytes, str, bool]] = {
    "plain HTTP": (b"GET /v2/ HTTP/1.1\r\nHost: facade\r\n\r\n", "plain_http", True),
    "plain HTTP of another method": (b"POST / HTTP/1.1\r\n\r\n", "plain_http", True),
    "a proxy's request": (b"CONNECT facade:443 HTTP/1.1\r\n\r\n", "plain_http", True),
    "plain HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "not_tls", True),
    "a load balancer's PROXY line": (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "not_tls", True),
    "another protocol": (b"SSH-2.0-OpenSSH_9.2\r\n", "not_tls", True),
    "zeros": (bytes(64), "not_tls", True),
    "a health check that says nothing": (b"", "device_left", False),
    "half of a first message": (b"\x16\x03\x01\x02\x00\x01", "device_left", False),
}


@pytest.mark.parametrize("case", RAW)
@pytest.mark.parametrize("is_reset", [True, False])
async def test_what_is_no_tls_is_told_apart_from_who_says_nothing(
    door: DeviceDoor, capfd: pytest.CaptureFixture[str], case: str, *, is_reset: bool
) -> None:
    """Health checks of load balancers would fill the log."""
    said, reason, is_logged = RAW[case]
    raw = await asyncio.to_thread(socket.create_connection, ("localhost", door.port))
    raw.sendall(said)
    if is_logged:  # a reset would drop what is still on its way
        await eventually(lambda: bool(door.reasons()))
    if is_reset:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.close()
    assert await door.until_refused({}) == reason
    assert len(lines(capfd)) == is_logged


async def test_a_device_that_leaves_in_the_middle_is_told_of(
    door: DeviceDoor, capfd: pytest.CaptureFixture[str]
) -> None:
    """Some refuse our certificate so, without a word."""
    client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD))
    client.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        client.do_handshake()
    raw = await asyncio.to_thread(socket.create_connection, ("localhost", door.port))
    raw.sendall(client.bio_read(1 << 16))
    assert await asyncio.to_thread(raw.recv, 1)  # the facade's first flight
    raw.close()
    assert await door.until_refused({}) == "device_left"
    (line,) = lines(capfd)
    assert line["reason"] == "the device left in the middle of it"


HOSTILE = "press\n\x1b[2J\u202e\x00" + "x" * 5000 + '","level":"info'


async def test_a_hostile_name_is_bounded_and_escaped(
    door: DeviceDoor, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whoever connects chooses it."""
    with warnings.catch_warnings(action="ignore"):  # of its length
        attribute = x509.NameAttribute(NameOID.COMMON_NAME, HOSTILE, _validate=False)
    name = x509.Name([attribute])
    key = STRANGER.key
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, AGO, LATER)
        .add_extension(x509.ExtendedKeyUsage([CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(Encoding.PEM)
    issued = IssuedCertificate(certificate, key, pem)
    assert await door.refusal(door.device(issued)) == "unknown_ca"
    text = capfd.readouterr().err
    assert text.count("\n") == 1
    line = orjson.loads(text)
    assert line["level"] == "warning"
    for field in ("presented_subject", "presented_issuer", "unknown_ca"):
        assert line[field].startswith("CN=press")
        assert line[field].isprintable()
        assert len(line[field]) < 600
    assert line["presented_device"] is None


async def test_a_window_has_so_many_lines_and_says_how_many_more_there_were(
    server_ca: CertificateAuthority, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Of one reason; another reason has its own, and the metric has all."""
    async with device_door(server_ca, tmp_path, device_ca=CA.pem) as door:
        for _ in range(LINES_A_WINDOW + 5):
            assert not await door.is_served(door.device(STRANGER.issue_device()))
        assert not await door.is_served(door.device(None))
        expected = {"unknown_ca": LINES_A_WINDOW + 5, "no_certificate": 1}
        await eventually(lambda: door.reasons() == expected)
        codes = [line["code"] for line in lines(capfd)]
        assert codes == ["unknown_ca"] * LINES_A_WINDOW + ["no_certificate"]
    (line,) = lines(capfd, "more handshakes refused")
    assert (line["code"], line["count"]) == ("unknown_ca", 5)


async def test_a_device_that_tries_again_has_one_line_in_a_window(
    door: DeviceDoor, capfd: pytest.CaptureFixture[str]
) -> None:
    """So that it does not hide others; its tries are counted."""
    stubborn, other = STRANGER.issue_device(), STRANGER.issue_device()
    for issued in (stubborn, stubborn, stubborn, other):
        assert await door.refusal(door.device(issued)) == "unknown_ca"
    serials = [line["presented_serial"] for line in lines(capfd)]
    assert serials == [f"{each.serial:x}" for each in (stubborn, other)]


async def test_when_a_window_ends_the_rest_is_said_and_the_next_begins(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Also where nobody is refused any more."""
    metrics = DeviceMetrics.create(CollectorRegistry())
    refused = RefusedHandshakes(metrics, RULE, window_seconds=0.01)
    logged: list[Any] = []

    def has_logged(event: str) -> bool:
        logged.extend(orjson.loads(line) for line in capfd.readouterr().err.splitlines())
        return any(line["event"] == event for line in logged)

    for _ in range(3):
        refused.note(TIMED_OUT, "192.0.2.1")
    await eventually(lambda: has_logged("more handshakes refused"))
    assert [line.get("count") for line in logged] == [None, 2]
    logged.clear()
    refused.note(TIMED_OUT, "192.0.2.1")
    assert has_logged("handshake refused")
    refused.close()
    refused.note(TIMED_OUT, "192.0.2.2")  # given up by a stop
    assert capfd.readouterr().err == ""


def test_every_reason_is_in_the_metric_from_the_beginning() -> None:
    """And no other ever: a label is never what somebody sent."""
    registry = CollectorRegistry()
    refused = RefusedHandshakes(DeviceMetrics.create(registry), RULE)
    refused.note(LEFT_SILENTLY, "192.0.2.1")
    found = {
        sample.labels["reason"]: sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "facade_device_handshakes_refused_total"
    }
    assert found == {reason.value: float(reason is LEFT.reason) for reason in HandshakeEnd}


def test_every_error_has_a_reason_and_words() -> None:
    """Also those of a later OpenSSL, whose own fixed words are given then."""
    endings: Iterable[Ending] = (
        *(ending_of_certificate(error, depth) for error in range(1, 120) for depth in (0, 1)),
        *map(ending_of_problem, CertificateProblem),
    )
    for ending in endings:
        assert ending.words
        assert "{" not in ending.words
        assert ending.reason is not HandshakeEnd.OTHER
    unknown = ending_of_tls([("SSL routines", "", "a reason of tomorrow")])
    assert unknown == Ending(HandshakeEnd.OTHER, "TLS failed: a reason of tomorrow")
    assert ending_of_tls([]).reason is HandshakeEnd.OTHER
    parsing = ending_of_tls([("asn1 encoding routines", "", "wrong tag")])
    assert parsing.reason is HandshakeEnd.INVALID_CERTIFICATE
    proof = ending_of_tls([("SSL routines", "", "bad signature")])
    assert proof.reason is HandshakeEnd.BAD_SIGNATURE


def test_the_readme_says_what_to_do_about_each_reason() -> None:
    """And about no other."""
    readme = (REPOSITORY / "docs" / "clients.md").read_text()
    table = readme.partition("## When a device does not get in")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `") and "metric" not in line]
    named = [name for row in rows for name in re.findall("`([a-z_]+)`", row.split("|")[1])]
    assert sorted(named) == sorted(reason.value for reason in HandshakeEnd)
