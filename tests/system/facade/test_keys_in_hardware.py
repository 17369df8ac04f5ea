"""A device whose key never leaves its TPM pulls through the facade."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from attrs import frozen
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from deploy.dev.device_ca import CertificateAuthority
from tests.support.facade_command import facade_command
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Facade
from tests.support.facade_states import connect, pull_path
from tests.support.fleet_certificates import TPM_RESIDENCY, Shape
from tests.support.simulators.registry import RegistrySimulator
from tests.support.software_tpm import SoftwareTpm, TpmError, software_tpm
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import StartFacade

CA = CertificateAuthority.create("CA of keys in TPMs")
PROFILE = {
    "name": "in-hardware",
    "authorities": CA.pem.decode(),
    "fields": {"common_name": "{device}"},
    "hardware_key": TPM_RESIDENCY,
    "key_types": ["p-256"],
}


@pytest.fixture
def tpm() -> Iterator[SoftwareTpm]:
    """The device's TPM."""
    with software_tpm() as running:
        yield running


@pytest.fixture
def hardware_facade(
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    tmp_path: Path,
) -> Facade:
    """A facade that takes only keys in hardware."""
    (tmp_path / "profiles.json").write_bytes(orjson.dumps({"profiles": [PROFILE]}))
    (tmp_path / "cas.pem").write_bytes(CA.pem)
    settings = {
        "FACADE_DEVICE_PROFILES_FILE": str(tmp_path / "profiles.json"),
        "FACADE_DEVICE_CA_FILE": str(tmp_path / "cas.pem"),
        "FACADE_POLL_INTERVAL": "500ms",
    }
    return start_facade(own_writer, own_database.facade_url, settings)


@frozen
class Puller:
    """Pulls with curl, which shows a certificate and has its key sign."""

    facade: Facade
    tpm: SoftwareTpm
    certificate: Path
    key: Path

    async def pull(self, path: str, *, with_tpm: bool = True) -> bytes:
        """Return what the facade answers; raise `TpmError` for a failure, a status included."""
        return await asyncio.to_thread(
            self.tpm.run,
            *("curl", "--silent", "--show-error", "--fail", "--http1.1"),
            *("--cacert", self.facade.files.folder / "server-ca.pem"),
            *("--cert", self.certificate, "--key", self.key),
            f"https://localhost:{self.facade.port}{path}",
            with_tpm=with_tpm,
        )


async def test_a_device_pulls_whose_key_never_leaves_its_tpm(
    hardware_facade: Facade,
    own_writer: StatementWriter,
    tpm: SoftwareTpm,
    upstream: RegistrySimulator,
    tmp_path: Path,
) -> None:
    """The CA says so of its key. Without the TPM the key's file is of no use.

    A key in software with a certificate of the same CA, which says nothing of it, is nobody's.
    """
    content = b"for keys in hardware alone" * 10_000
    path = pull_path(upstream, upstream.blob(content))
    await connect(hardware_facade, own_writer, upstream)
    subject = ((NameOID.COMMON_NAME, "press-7"),)
    key = tpm.make_key("press-7")
    said = Shape(subject, policies=(TPM_RESIDENCY,), public_key=tpm.public_half(key))
    in_hardware = Puller(hardware_facade, tpm, tmp_path / "hard.pem", key)
    in_hardware.certificate.write_bytes(said.issue(CA).public_bytes(Encoding.PEM))
    assert await in_hardware.pull(path) == content
    with pytest.raises(TpmError, match="private key"):
        await in_hardware.pull(path, with_tpm=False)

    software_key = ec.generate_private_key(ec.SECP256R1())
    unsaid = Shape(subject, public_key=software_key.public_key())
    in_software = Puller(hardware_facade, tpm, tmp_path / "soft.pem", tmp_path / "soft.key")
    in_software.certificate.write_bytes(unsaid.issue(CA).public_bytes(Encoding.PEM))
    in_software.key.write_bytes(
        software_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    with pytest.raises(TpmError, match="403"):
        await in_software.pull(path, with_tpm=False)
    (line,) = hardware_facade.log_lines(event="answered", status=403)
    assert "does not say that its key is in hardware" in line["reason"]

    for puller, device in ((in_hardware, "press-7"), (in_software, None)):
        asked = ("identify", str(puller.certificate), "--json")
        seen = await facade_command(hardware_facade.environment, *asked)
        assert seen.result["device"] == device
