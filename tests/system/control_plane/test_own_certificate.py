"""The control plane's own TLS pair while it serves: renewed, broken, about to expire."""

import asyncio
import datetime as dt
import re
import signal
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from attrs import evolve, frozen
from cryptography import x509

from deploy.dev.device_ca import SERVER_AUTH, CertificateAuthority, IssuedCertificate
from deploy.dev.processes import Child, free_port, port_answers
from tests.support.control_plane import (
    ControlPlane,
    serve,
)
from tests.support.eventually import eventually
from tests.support.log_file import logged
from tests.support.swapped_files import put

Json = dict[str, Any]
DAY = dt.timedelta(days=1)


def unverified() -> ssl.SSLContext:
    """Return a context that takes every certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@frozen
class TlsPlane:
    """A control plane over TLS, and the folder of its pair."""

    port: int
    token: str  # of eve
    child: Child
    authority: CertificateAuthority
    folder: Path
    told_before: int = 0  # lines of the log

    async def ask(self, path: str, *, token: str | None = None) -> tuple[int, str]:
        """Return status and body, whatever the certificate is."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"https://127.0.0.1:{self.port}{path}"
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, headers=headers, ssl=False) as answer,
        ):
            return answer.status, await answer.text()

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """Give a connection that verified nothing."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=unverified())
        try:
            yield reader, writer
        finally:
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    async def serial(self) -> int:
        """Return which certificate a new connection is shown."""
        async with self.connected() as (_, writer):
            der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(der).serial_number

    async def readiness(self) -> Json:
        """Return what `/readyz` says."""
        status, body = await self.ask("/readyz")
        return {"code": status, **orjson.loads(body)}

    async def metric(self, name: str) -> float:
        """Return a metric's value."""
        _, text = await self.ask("/metrics", token=self.token)
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        assert found, name
        return float(found[1])

    def issue(self, *, days: float = 90) -> IssuedCertificate:
        """Return a new pair that ends in so many days."""
        now = dt.datetime.now(dt.UTC)
        return self.authority.issue(
            common_name="server",
            dns=["localhost"],
            ips=["127.0.0.1"],
            usages=(SERVER_AUTH,),
            not_before=now - 30 * DAY,
            not_after=now + days * DAY,
        )

    def put(self, issued: IssuedCertificate) -> IssuedCertificate:
        """Renew the pair on disk, and say so."""
        issued.write(self.folder, "server")
        self.child.process.send_signal(signal.SIGHUP)
        return issued

    @property
    def log(self) -> list[Json]:
        """What was logged since the test began."""
        url, tls = f"https://127.0.0.1:{self.port}/healthz", unverified()
        return logged(self.child.log, url, tls)[self.told_before :]


@pytest.fixture(scope="module")
def serving(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsPlane]:
    """One more process of the same control plane, over TLS."""
    folder, port = tmp_path_factory.mktemp("tls"), free_port()
    environment = plane.environment | {
        "CONTROL_PLANE_LISTEN": f"127.0.0.1:{port}",
        "CONTROL_PLANE_TLS_CERT_FILE": str(folder / "server.pem"),
        "CONTROL_PLANE_TLS_KEY_FILE": str(folder / "server.key"),
    }
    authority = CertificateAuthority.create("operators' CA")
    authority.issue_server().write(folder, "server")
    child = serve(environment, folder / "log")
    try:
        child.wait_until(lambda: port_answers(port))
        yield TlsPlane(port, plane.tokens["eve"], child, authority, folder)
    finally:
        ended = child.stop()
    assert ended == 0


@pytest.fixture
async def tls_plane(serving: TlsPlane) -> TlsPlane:
    """It with a certificate that is good for ninety days, and nothing wrong any more."""
    before = reloads(serving)
    issued = serving.put(serving.issue())
    await eventually(lambda: is_shown(serving, issued))
    await eventually(lambda: reloads(serving) > before)
    return evolve(serving, told_before=len(serving.log))


async def test_a_renewed_pair_is_shown_and_nothing_open_is_cut(tls_plane: TlsPlane) -> None:
    """SIGHUP is how certbot and systemd tell of it; it killed the process."""
    async with tls_plane.connected() as (reader, writer):
        assert await still_answers(reader, writer)
        renewed = tls_plane.put(tls_plane.issue())
        await eventually(lambda: is_shown(tls_plane, renewed))
        assert await still_answers(reader, writer)
    left = await tls_plane.metric("control_plane_server_certificate_expires_in_seconds")
    assert 89 * 86400 < left < 90 * 86400


async def test_a_pair_is_renewed_without_a_signal_too(tls_plane: TlsPlane) -> None:
    """As a mounted Secret is."""
    renewed = tls_plane.issue()
    renewed.write(tls_plane.folder, "server")
    await eventually(lambda: is_shown(tls_plane, renewed))


async def test_a_broken_file_keeps_the_old_pair_and_is_told_of(tls_plane: TlsPlane) -> None:
    """A line at warning, a metric for the file and its part, a note; ready all the same."""
    serial, certificate = await tls_plane.serial(), tls_plane.folder / "server.pem"
    put(certificate, (tls_plane.folder / "server.key").read_bytes())
    tls_plane.child.process.send_signal(signal.SIGHUP)

    async def is_noted() -> bool:
        said = await tls_plane.readiness()
        return said["code"] == 200 and "it holds an EC private key" in str(said.get("notes"))

    await eventually(is_noted)
    assert await tls_plane.serial() == serial
    refused = 'control_plane_file_refused{setting="CONTROL_PLANE_TLS_CERT_FILE"}'
    assert await tls_plane.metric(refused) == 1
    assert await tls_plane.metric('control_plane_problem{part="files"}') == 1
    warnings = [line for line in tls_plane.log if line["level"] == "warning"]
    assert [line["part"] for line in warnings] == ["files"]
    mended = tls_plane.put(tls_plane.issue())
    await eventually(lambda: is_shown(tls_plane, mended))
    assert "notes" not in await tls_plane.readiness()
    assert await tls_plane.metric(refused) == 0


async def test_an_end_that_comes_near_is_told_ahead(tls_plane: TlsPlane) -> None:
    """With what to do; a certificate that is over is no longer ready."""
    tls_plane.put(tls_plane.issue(days=3))

    async def says(code: int, words: str) -> bool:
        said = await tls_plane.readiness()
        return said["code"] == code and words in str(said)

    await eventually(lambda: says(200, "the certificate expires at 20"))
    part = 'control_plane_problem{part="server_certificate"}'
    assert await tls_plane.metric(part) == 1
    tls_plane.put(tls_plane.issue(days=-1))
    await eventually(
        lambda: says(503, "CONTROL_PLANE_TLS_CERT_FILE: the certificate expired at 20")
    )
    put(tls_plane.folder / "server.key", b"no key")
    tls_plane.child.process.send_signal(signal.SIGHUP)
    await eventually(lambda: says(503, "CONTROL_PLANE_TLS_KEY_FILE: it holds no PEM"))
    expires = "control_plane_server_certificate_expires_in_seconds"
    assert await tls_plane.metric(expires) < 0
    device = tls_plane.authority.issue(dns=["localhost"])
    tls_plane.put(device)
    await eventually(lambda: says(503, "the certificate is not for servers"))
    tls_plane.put(tls_plane.issue())
    await eventually(lambda: says(200, "ready"))
    assert await tls_plane.metric(part) == 0
    begins, ends = ("warning", "problem"), ("info", "problem is over")
    # near its end, expired, for clients; then all is well
    assert told(tls_plane, "server_certificate") == [begins, begins, begins, ends]
    # the refused key; between the files of a pair it may look, too, and find halves
    assert told(tls_plane, "files")[0] == begins
    assert told(tls_plane, "files")[-1] == ends
    assert sum("it holds no PEM" in str(line.get("reason")) for line in tls_plane.log) == 1


def told(tls_plane: TlsPlane, part: str) -> list[tuple[str, str]]:
    """Return level and event of what the log told of a part."""
    return [(line["level"], line["event"]) for line in tls_plane.log if line.get("part") == part]


def reloads(tls_plane: TlsPlane) -> int:
    """Return how often it has taken a pair over, which it tells with what is wrong then."""
    return sum(line["event"] == "certificate reloaded" for line in tls_plane.log)


async def test_sighup_ends_no_process_without_tls_either(own_plane: ControlPlane) -> None:
    """And the log says that there was nothing to do."""
    own_plane.child.process.send_signal(signal.SIGHUP)
    await eventually(
        lambda: any(line["event"] == "nothing to reload" for line in own_plane.log_lines)
    )
    assert (await own_plane.client("eve").call("GET", "/readyz")).json == {"status": "ready"}
    text = (await own_plane.client("eve").call("GET", "/metrics")).body.decode()
    assert "certificate_expires_in" not in text


async def still_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Tell whether a connection that is kept answers one more request."""
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(len(b'{"status":"ok"}'))
    return head.startswith(b"HTTP/1.1 200")


async def is_shown(tls_plane: TlsPlane, issued: IssuedCertificate) -> bool:
    """Tell whether a new connection is shown this certificate."""
    return await tls_plane.serial() == issued.serial
