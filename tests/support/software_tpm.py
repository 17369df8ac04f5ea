"""A TPM 2.0 in software, and a device whose key never leaves it.

swtpm is the TPM. Its resource manager (tpm2-abrmd, on a D-Bus of its own) shares it, because a
handshake needs more sessions than the TPM has. tpm2-openssl is the provider by which the machine's
OpenSSL, and curl with it, asks the TPM to sign. The key's file holds what only this TPM can use.
"""

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from attrs import frozen
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from deploy.dev.processes import Child

TPM_SECONDS: Final = 60  # a signature takes 13 ms; this is for a loaded machine
OF_A_TPM: Final = "-----BEGIN TSS2 PRIVATE KEY-----"  # what a key's file begins with
PROVIDER: Final = "TPM 2.0 Provider"

BUS: Final = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={folder}/bus</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""
# The TPM is for keys alone: it would hash and encrypt too, slowly.
OPENSSL: Final = """\
openssl_conf = all
[all]
providers = providers
alg_section = algorithms
[providers]
default = of_software
tpm2 = of_the_tpm
[of_software]
activate = 1
[of_the_tpm]
activate = 1
[algorithms]
default_properties = ?provider=tpm2,tpm2.digest!=yes,tpm2.cipher!=yes,tpm2.rand!=yes
"""


class TpmError(Exception):
    """A program of the TPM failed; the message bears what it said."""


@frozen
class SoftwareTpm:
    """A running TPM."""

    folder: Path
    environment: dict[str, str]

    def make_key(self, name: str) -> Path:
        """Have the TPM make a key; return the file by which it finds it again."""
        file = self.folder / f"{name}.tss2.pem"
        self.run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "group:P-256", "-out", file)
        if not file.read_text().startswith(OF_A_TPM):
            raise TpmError("OpenSSL has made the key in software")
        return file

    def public_half(self, key: Path) -> ec.EllipticCurvePublicKey:
        """Return a key's public half.

        No request is made: Debian's provider writes an algorithm into it that is no DER of ECDSA.
        """
        made = load_pem_public_key(self.run("openssl", "pkey", "-in", key, "-pubout"))
        if not isinstance(made, ec.EllipticCurvePublicKey):
            raise TpmError("the key is not of P-256")
        return made

    def run(self, *command: str | Path, with_tpm: bool = True) -> bytes:
        """Return what a program prints; raise `TpmError` if it fails."""
        environment = self.environment if with_tpm else {"PATH": self.environment["PATH"]}
        ended = subprocess.run(
            [str(part) for part in command],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TPM_SECONDS,
            check=False,
        )
        if ended.returncode != 0:
            words = ended.stderr.decode(errors="replace")
            raise TpmError(f"{command[0]} ended with {ended.returncode}: {words}")
        return ended.stdout


@contextlib.contextmanager
def software_tpm() -> Iterator[SoftwareTpm]:
    """Run a new TPM until the block ends. Its folder is short: a socket's path is."""
    with tempfile.TemporaryDirectory(prefix="tpm-", dir="/tmp") as name:
        folder = Path(name)
        (folder / "state").mkdir()
        (folder / "bus.conf").write_text(BUS.format(folder=folder))
        (folder / "openssl.cnf").write_text(OPENSSL)
        tpm = SoftwareTpm(
            folder,
            {
                "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "DBUS_SESSION_BUS_ADDRESS": f"unix:path={folder}/bus",
                "TPM2OPENSSL_TCTI": "tabrmd:bus_type=session",
                "OPENSSL_CONF": str(folder / "openssl.cnf"),
                "TSS2_LOG": "all+none",
            },
        )
        with contextlib.ExitStack() as stack:
            for command, made in _programs(folder):
                child = Child.start(
                    command, log=folder / f"{command[0]}.log", environment=tpm.environment
                )
                stack.callback(child.kill)
                child.wait_until(made.exists if made else lambda: _is_found(tpm))
            yield tpm


def _programs(folder: Path) -> Iterator[tuple[Sequence[str], Path | None]]:
    """Yield each program, and the socket that is there once it is ready."""
    bus, tpm = folder / "bus", folder / "tpm"
    yield ["dbus-daemon", f"--config-file={folder}/bus.conf", "--nofork", "--nopidfile"], bus
    yield (
        [
            *("swtpm", "socket", "--tpm2", "--tpmstate", f"dir={folder}/state"),
            *("--server", f"type=unixio,path={tpm}", "--ctrl", f"type=unixio,path={tpm}.ctrl"),
            *("--flags", "not-need-init,startup-clear"),
        ],
        Path(f"{tpm}.ctrl"),
    )
    yield ["tpm2-abrmd", "--session", "--allow-root", f"--tcti=swtpm:path={tpm}"], None


def _is_found(tpm: SoftwareTpm) -> bool:
    return PROVIDER in tpm.run("openssl", "list", "-providers").decode()
