"""What the device address depends on: certificate, key, device CAs and CRLs, read together.

A file is parsed once, so that handshakes and checks of open connections cannot differ.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from attrs import evolve, field, frozen
from cryptography import x509
from OpenSSL import SSL

from facade.devices.device_authorities import is_authority, named
from facade.devices.device_trust import DeviceTrust
from facade.devices.revocation_list import InvalidRevocationListError, RevocationList
from facade.devices.server_certificate import ServerCertificate
from facade.devices.tls import TlsConfigurationError, server_context
from shared.malformed_x509 import MALFORMED
from shared.pem import InvalidPemError, load_certificates

CERTIFICATE: Final = "FACADE_TLS_CERT_FILE"
KEY: Final = "FACADE_TLS_KEY_FILE"
DEVICE_CA: Final = "FACADE_DEVICE_CA_FILE"
DEVICE_CRL: Final = "FACADE_DEVICE_CRL_FILE"
_NO_CAS: Final = f"{DEVICE_CA}: expected the PEM certificates of the device CAs"


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
class BelievedCertificates:
    """What devices' certificates are verified with."""

    device_cas: list[x509.Certificate]
    crls: list[x509.CertificateRevocationList] | None
    trust: DeviceTrust

    @classmethod
    def load(cls, device_ca: bytes, device_crl: bytes | None) -> "BelievedCertificates":
        """Return what the files say, or raise `TlsConfigurationError`. Blocks: for a thread."""
        with _named(DEVICE_CA):
            device_cas = _device_cas(device_ca)
        with _named(DEVICE_CRL):
            lists = _lists(device_crl)
        with _named(DEVICE_CA):
            trust = _trust(device_cas, lists)
        return cls(device_cas, None if lists is None else [each.crl for each in lists], trust)


@frozen
class DeviceTls:
    """What new handshakes use, and what open connections are checked by."""

    files: TlsFiles
    context: SSL.Context = field(repr=False)
    trust: DeviceTrust
    certificate: ServerCertificate  # the facade's own

    @classmethod
    def load(cls, files: TlsFiles, minimum: str) -> "DeviceTls":
        """Return what the files say, or raise `TlsConfigurationError`. Blocks: for a thread."""
        believed = BelievedCertificates.load(files.device_ca, files.device_crl)
        with _named(CERTIFICATE):
            context = server_context(
                certificate=files.certificate,
                key=files.key,
                device_cas=believed.device_cas,
                crls=believed.crls,
                minimum=minimum,
            )
            own = ServerCertificate.parse(files.certificate)
        return cls(files, context, believed.trust, own)

    def succeeded_by(self, found: TlsFiles, minimum: str) -> "tuple[DeviceTls, Mapping[str, str]]":
        """Return what to go on with, and which files are not used and why. Blocks.

        A broken file keeps its old content, but does not hold back the others: a CA that was taken
        out is out, whatever state the CRLs are in.
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


@contextmanager
def _named(setting: str) -> Iterator[None]:
    """Make whatever a parser raises name the setting of its file."""
    try:
        yield
    except TlsConfigurationError:
        raise
    except Exception as error:  # what the library raises depends on which byte is wrong
        reason = f"it cannot be used ({type(error).__name__})"
        raise TlsConfigurationError(f"{setting}: {reason}") from error


def _unused(used: TlsFiles, found: TlsFiles, refused: dict[str, str]) -> dict[str, str]:
    """Return why files are not used, for each of the found files that is not."""
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


def _device_cas(pem: bytes) -> list[x509.Certificate]:
    """Return the CAs. A leaf among them is refused, because it would silently be of no use."""
    try:
        certificates = load_certificates(pem)
        leaf = next((each for each in certificates if not is_authority(each)), None)
    except InvalidPemError as error:
        raise TlsConfigurationError(f"{_NO_CAS}: {error}") from error
    except MALFORMED as error:
        raise TlsConfigurationError(_NO_CAS) from error
    if leaf is not None:
        raise TlsConfigurationError(f"{DEVICE_CA}: this is no CA's certificate: {named(leaf)}")
    return certificates


def _lists(pem: bytes | None) -> tuple[RevocationList, ...] | None:
    try:
        return None if pem is None else RevocationList.parse_all(pem)
    except InvalidRevocationListError as error:
        raise TlsConfigurationError(f"{DEVICE_CRL}: {error}") from error


def _trust(
    device_cas: list[x509.Certificate], lists: tuple[RevocationList, ...] | None
) -> DeviceTrust:
    try:
        return DeviceTrust.build(device_cas, lists)
    except InvalidRevocationListError as error:
        raise TlsConfigurationError(f"{DEVICE_CRL}: {error}") from error
    except MALFORMED as error:  # a name or key is read at its first use
        raise TlsConfigurationError(_NO_CAS) from error
