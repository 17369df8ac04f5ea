"""CRLs of the device CAs: at the handshake, on open connections, and where they cannot be used."""

import datetime as dt
import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from deploy.dev.device_ca import CertificateAuthority
from deploy.dev.processes import ChildFailedError
from tests.support.device_stream import End, device_stream
from tests.support.eventually import eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Device, Facade, FacadeFiles
from tests.support.facade_states import connect, pull_path
from tests.support.memory import MIB
from tests.support.raw_http import raw_connection, request_bytes
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.support.swapped_files import put, refused_files, swap, swap_refused
from tests.system.facade.conftest import NOTIFY_ALONE

CRL = "FACADE_DEVICE_CRL_FILE"
DEVICE_CA = "FACADE_DEVICE_CA_FILE"
PING = request_bytes(b"/v2/")
ALL_REFUSED = (
    "devices of CN=test device CA are refused: the CRL of the certificate's CA has expired"
)
DAY = dt.timedelta(days=1)

StartWithCrl = Callable[[Callable[[CertificateAuthority], bytes]], Facade]


@pytest.fixture
def start_with_crl(
    own_database: FacadeDatabase, own_writer: StatementWriter, tmp_path: Path
) -> Iterator[StartWithCrl]:
    """Start a facade with what the CA says about its devices."""
    started: list[Facade] = []

    def start(crl: Callable[[CertificateAuthority], bytes]) -> Facade:
        files = FacadeFiles.write(
            tmp_path / "facade",
            statement_public_pem=own_writer.statement_public_pem,
            sealing_private_pem=own_writer.sealing_private_pem,
        )
        path = files.folder / "crl.pem"
        path.write_bytes(crl(files.device_ca))
        settings: Mapping[str, str] = {**NOTIFY_ALONE, CRL: str(path)}
        started.append(Facade.start(files, own_database.facade_url, settings, wait=False))
        return started[-1]

    yield start
    for facade in started:
        facade.child.kill()


def crl_file(facade: Facade) -> Path:
    """Where its CRLs are."""
    return facade.files.folder / "crl.pem"


async def is_served(device: Device) -> bool:
    """Tell whether the device gets an answer, or fails the handshake."""
    try:
        async with raw_connection(device) as connection:
            await connection.send(PING)
            answer = await connection.answer()
    except (ConnectionError, ssl.SSLError):
        return False
    assert answer.status == 200
    return True


async def until_ready(facade: Facade) -> str:
    """Return what it stands on."""
    await eventually(facade.is_ready)
    return facade.operations("/readyz")[1]


async def test_a_device_in_the_crl_fails_the_handshake(start_with_crl: StartWithCrl) -> None:
    """And its neighbour does not."""
    revoked = []

    def crl(ca: CertificateAuthority) -> bytes:
        revoked.append(ca.issue_device(device="press-8"))
        return ca.crl([revoked[0].serial])

    facade = start_with_crl(crl)
    await until_ready(facade)
    assert not await is_served(facade.device(revoked[0]))
    assert await is_served(facade.device())
    metrics = facade.operations("/metrics")[1]
    left = 'facade_crl_expires_in_seconds{issuer="CN=test device CA"} '
    (line,) = (line for line in metrics.splitlines() if line.startswith(left))
    assert 29 * 86400 < float(line.removeprefix(left)) <= 30 * 86400


async def test_a_new_crl_cuts_the_running_stream_of_its_device_and_no_other(
    start_with_crl: StartWithCrl, own_writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """Without a signal, within seconds: who writes the file need not know who reads it."""
    facade = start_with_crl(lambda ca: ca.crl())
    await until_ready(facade)
    path = pull_path(upstream, upstream.blob(bytes(32 * MIB)))
    await connect(facade, own_writer, upstream)
    ca = facade.files.device_ca
    revoked, other = ca.issue_device(device="press-8"), ca.issue_device(device="press-9")
    async with (
        device_stream(facade.port, facade.device(revoked).tls(), path) as cut,
        device_stream(facade.port, facade.device(other).tls(), path) as left_alone,
        raw_connection(facade.device(revoked)) as idle,
    ):
        await cut.take(1000)
        await left_alone.take(1000)
        put(crl_file(facade), ca.crl([revoked.serial]))
        assert await idle.until_reset() == b""
        assert await cut.end() is End.RESET
        assert await left_alone.end() is End.WHOLE
    assert not await is_served(facade.device(revoked))
    assert await is_served(facade.device(other))


async def test_an_expired_crl_refuses_everybody_until_there_is_a_new_one(
    start_with_crl: StartWithCrl,
) -> None:
    """It starts, for the CA may be late; it says so, and needs no restart."""
    now = dt.datetime.now(dt.UTC)
    facade = start_with_crl(lambda ca: ca.crl(last_update=now - 2 * DAY, next_update=now - DAY))
    await eventually(lambda: facade.operations("/readyz") == (503, f"{ALL_REFUSED}\n"))
    issued = facade.files.device_ca.issue_device()
    assert not await is_served(facade.device(issued))
    await swap(facade, {CRL: facade.files.device_ca.crl()})
    await until_ready(facade)
    assert await is_served(facade.device(issued))


async def test_a_crl_that_expires_meanwhile_cuts_what_it_spoke_for(
    start_with_crl: StartWithCrl,
) -> None:
    """From then on nobody knows who was revoked."""
    facade = start_with_crl(lambda ca: ca.crl())
    await until_ready(facade)
    issued = facade.files.device_ca.issue_device()
    async with raw_connection(facade.device(issued)) as connection:
        await connection.send(PING)
        assert (await connection.answer()).status == 200
        ends = dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(seconds=3)
        await swap(facade, {CRL: facade.files.device_ca.crl(next_update=ends)})
        assert await connection.until_reset() == b""
        assert dt.datetime.now(dt.UTC) >= ends
    assert not await is_served(facade.device(issued))
    assert not facade.is_ready()


async def test_an_intermediate_alone_is_trusted_until_its_root_is_there_to_revoke_it(
    start_with_crl: StartWithCrl,
) -> None:
    """An anchor with its own CRL, in files as they lie about; the root's CRL ends it."""
    root = CertificateAuthority.create("corporate root")
    line = root.make_intermediate("line CA")
    facade = start_with_crl(lambda ca: ca.crl())
    bundle = "# Größe\r\n".encode("latin-1") + line.pem.replace(b"\n", b"\r\n")
    crl = f"# Größe\n{line.crl().decode()}".encode("utf-16")
    await swap(facade, {DEVICE_CA: bundle, CRL: crl})
    assert "refused" not in await until_ready(facade)
    device, sibling = line.issue_device(), root.make_intermediate("sibling CA").issue_device()
    assert await is_served(facade.device(device))
    assert not await is_served(facade.device(sibling))
    (refused,) = facade.log_lines(event="handshake refused")
    assert (refused["code"], refused["unknown_ca"]) == ("unknown_ca", "CN=corporate root")
    async with raw_connection(facade.device(device)) as connection:
        await connection.send(PING)
        assert (await connection.answer()).status == 200
        crl = line.crl() + root.crl([line.certificate.serial_number])
        await swap(facade, {DEVICE_CA: line.pem + root.pem, CRL: crl})
        assert await connection.until_reset() == b""
    assert not await is_served(facade.device(device))
    standing = facade.operations("/readyz")
    assert standing[0] == 503
    assert "devices of CN=line CA are refused: the certificate's CA is in the CRL" in standing[1]


async def test_a_leaf_in_the_ca_bundle_is_named_and_the_old_bundle_used(
    start_with_crl: StartWithCrl,
) -> None:
    """It is no CA: alone it would refuse everybody, and beside a CA be of no use."""
    facade = start_with_crl(lambda ca: ca.crl())
    await until_ready(facade)
    leaf = facade.files.device_ca.issue_device()
    bundle = facade.files.device_ca.pem + leaf.chain_pem
    reason = await swap_refused(facade, DEVICE_CA, bundle)
    assert reason == f"this is no CA's certificate: serial {leaf.serial:x}, CN=device"
    assert await is_served(facade.device())
    assert facade.stop() == 0
    with pytest.raises(ChildFailedError) as failed:
        facade.restart()
    assert "ended with 2" in str(failed.value)
    assert f"FACADE_DEVICE_CA_FILE: {reason}" in str(failed.value)


async def test_of_two_cas_the_one_without_a_crl_is_refused_alone(
    start_with_crl: StartWithCrl,
) -> None:
    """And ready it is, for the others; it says whom it refuses."""
    second = CertificateAuthority.create("second CA")
    others = b"".join(CertificateAuthority.create(f"CA {each}").crl() for each in range(5))
    facade = start_with_crl(lambda ca: ca.crl() + others)
    (unused,) = facade.log_lines(event="CRLs are not used")
    assert unused["count"] == 5
    assert unused["reason"].endswith("FILE: CN=CA 0; CN=CA 1; CN=CA 2; and 2 more")
    bundle = facade.files.device_ca.pem + second.pem
    await until_ready(facade)
    await swap(facade, {DEVICE_CA: bundle})
    of_second = second.issue_device()
    assert await is_served(facade.device())
    assert not await is_served(facade.device(of_second))
    standing = await until_ready(facade)
    assert "devices of CN=second CA are refused: there is no CRL" in standing
    await swap(facade, {CRL: facade.files.device_ca.crl() + second.crl()})
    assert await is_served(facade.device(of_second))
    assert "refused" not in await until_ready(facade)


async def test_a_broken_new_crl_keeps_the_old_one_and_is_told_once(
    start_with_crl: StartWithCrl,
) -> None:
    """For each content once, not for each look; and nobody who was revoked gets in by it."""
    revoked = []

    def crl(ca: CertificateAuthority) -> bytes:
        revoked.append(ca.issue_device())
        return ca.crl([revoked[0].serial])

    facade = start_with_crl(crl)
    await until_ready(facade)
    stranger = CertificateAuthority.create("test device CA")
    assert refused_files(facade) == set()
    assert await swap_refused(facade, CRL, b"garbage") == "it holds no CRL in PEM form"
    reason = await swap_refused(facade, CRL, stranger.crl())
    assert reason == "a CRL is not signed by the CA that it names"
    gone = await swap_refused(facade, CRL, None)
    assert gone == "cannot be read: there is no such file"
    with_another = facade.files.device_ca.pem + CertificateAuthority.create("another").pem
    await swap(facade, {DEVICE_CA: with_another})  # it looks at the CRLs once more
    assert len(facade.log_lines(variable=CRL, level="error")) == 3
    assert refused_files(facade) == {CRL}
    assert not await is_served(facade.device(revoked[0]))
    assert await is_served(facade.device())
    await swap(facade, {CRL: facade.files.device_ca.crl()})
    assert refused_files(facade) == set()
    assert await is_served(facade.device(revoked[0]))


async def test_with_an_unusable_crl_it_does_not_start(start_with_crl: StartWithCrl) -> None:
    """The configuration is wrong: exit 2, and the variable is named."""
    stranger = CertificateAuthority.create("test device CA")
    with pytest.raises(ChildFailedError) as failed:
        start_with_crl(lambda _: stranger.crl())
    assert "ended with 2" in str(failed.value)
    assert f"{CRL}: a CRL is not signed by the CA that it names" in str(failed.value)
