"""What the device address stands on: certificate, key, device CAs and CRLs, read as one.

OpenSSL reads files by their paths. It is given copies in memory of the very bytes that were parsed
here, so that a file that changes in between makes no mixture.
"""

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from attrs import evolve, field, frozen
from cryptography import x509

from facade.devices.device_trust import DeviceTrust
from facade.devices.revocation_list import MALFORMED, InvalidRevocationListError, RevocationList
from facade.devices.tls import TlsConfigurationError, server_context

CERTIFICATE: Final = "FACADE_TLS_CERT_FILE"
KEY: Final = "FACADE_TLS_KEY_FILE"
DEVICE_CA: Final = "FACADE_DEVICE_CA_FILE"
DEVICE_CRL: Final = "FACADE_DEVICE_CRL_FILE"


@frozen
class TlsFiles:
    """The contents of the files, at one moment."""

    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)
    device_ca: bytes = field(repr=False)
    device_crl: bytes | None = field(default=None, repr=False)

    @classmethod
    def of(cls, contents: Mapping[str, bytes]) -> "TlsFiles":
        """Return them by the names of their settings; the CRLs may be absent."""
        return cls(
            contents[CERTIFICATE], contents[KEY], contents[DEVICE_CA], contents.get(DEVICE_CRL)
        )


@frozen
class DeviceTls:
    """What new handshakes are made with, and what open connections are held against."""

    files: TlsFiles
    context: ssl.SSLContext = field(repr=False)
    trust: DeviceTrust

    @classmethod
    def load(cls, files: TlsFiles, minimum: str) -> "DeviceTls":
        """Return what the files say, or raise `TlsConfigurationError`. Blocks: for a thread."""
        trust = _trust(files)
        with ExitStack() as stack:
            crl = files.device_crl
            context = server_context(
                certificate=stack.enter_context(_in_memory(files.certificate)),
                key=stack.enter_context(_in_memory(files.key)),
                device_ca=stack.enter_context(_in_memory(files.device_ca)),
                device_crl=None if crl is None else stack.enter_context(_in_memory(crl)),
                minimum=minimum,
            )
        return cls(files, context, trust)

    def succeeded_by(self, found: TlsFiles, minimum: str) -> "tuple[DeviceTls, Mapping[str, str]]":
        """Return what to go on with, and which files are not used and why. Blocks.

        What is broken keeps its old content, and nothing else back: a CA that was taken out is
        out, whatever state the CRLs are in.
        """
        used, refused = self, dict[str, str]()
        steps = (
            {"certificate": found.certificate, "key": found.key},
            {"device_ca": found.device_ca, "device_crl": found.device_crl},
            {"device_ca": found.device_ca},
            {"device_crl": found.device_crl},
        )
        for changes in steps:
            candidate = evolve(used.files, **changes)
            if candidate == used.files:
                continue
            try:
                used = DeviceTls.load(candidate, minimum)
            except TlsConfigurationError as error:
                settings, _, reason = str(error).partition(": ")
                refused[settings.split(" ")[0]] = reason
        return used, _unused(used.files, found, refused)


def _unused(used: TlsFiles, found: TlsFiles, refused: dict[str, str]) -> dict[str, str]:
    """Return why each of the found files is not used that is not used."""
    differs = {
        CERTIFICATE: used.certificate != found.certificate,
        KEY: used.key != found.key,
        DEVICE_CA: used.device_ca != found.device_ca,
        DEVICE_CRL: used.device_crl != found.device_crl,
    }
    otherwise = "does not go with the files beside it"
    if CERTIFICATE in refused:
        refused[KEY] = refused[CERTIFICATE]
    return {name: refused.get(name, otherwise) for name, is_so in differs.items() if is_so}


def _trust(files: TlsFiles) -> DeviceTrust:
    try:
        crl = files.device_crl
        lists = None if crl is None else RevocationList.parse_all(crl)
        return DeviceTrust.build(x509.load_pem_x509_certificates(files.device_ca), lists)
    except InvalidRevocationListError as error:
        raise TlsConfigurationError(f"{DEVICE_CRL}: {error}") from error
    except MALFORMED as error:  # a name or key is read at its first use
        message = f"{DEVICE_CA}: expected the PEM certificates of the device CAs"
        raise TlsConfigurationError(message) from error


@contextmanager
def _in_memory(content: bytes) -> Iterator[Path]:
    """Give a path under which OpenSSL finds the content (memfd_create(2))."""
    descriptor = os.memfd_create("tls", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
