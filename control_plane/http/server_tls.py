"""The control plane's own TLS pair: made of its two files, and until when it is valid."""

import os
import ssl
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final, Self

from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from control_plane.errors import ControlPlaneError
from control_plane.prefix import PREFIX
from control_plane.troubles import ControlPlanePart, Trouble
from shared.pem import InvalidPemError, load_certificates, private_key_block
from shared.pem_contents import what_it_holds
from shared.server_certificate import NO_NAMES, NOT_FOR_SERVERS, is_for_servers, names_a_host

CERTIFICATE: Final = f"{PREFIX}_TLS_CERT_FILE"
KEY: Final = f"{PREFIX}_TLS_KEY_FILE"
_OF_SERVERS: Final = ("RSA", "EC", "Ed25519", "Ed448")  # kinds of keys that TLS servers have
# Machines renew earlier: when a third of 90 days is left.
ENDS_SOON: Final = timedelta(days=7)
_RENEW: Final = (
    f"put a renewed one there, and its key into {KEY}; it is taken over without a restart"
)


class TlsFilesError(ControlPlaneError):
    """The two files make no TLS server. `setting` names the wrong one; nothing of it is quoted."""

    def __init__(self, setting: str, message: str) -> None:
        """Hold both."""
        super().__init__(message)
        self.setting = setting


@frozen
class ServerTls:
    """The certificate that clients are shown, with its key."""

    context: ssl.SSLContext = field(repr=False)
    _chain: tuple[x509.Certificate, ...] = field(repr=False)

    @property
    def valid_from(self) -> datetime:
        """When the certificate begins."""
        return self._chain[0].not_valid_before_utc

    @property
    def expires_at(self) -> datetime:
        """When it ends."""
        return self._chain[0].not_valid_after_utc

    @classmethod
    def of(cls, contents: Mapping[str, bytes]) -> Self:
        """Return the pair of the two settings' contents, or raise `TlsFilesError`."""
        try:
            return cls._made(contents)
        except TlsFilesError:
            raise
        except Exception as error:  # noqa: BLE001 - what the library raises depends on which byte is wrong
            raise TlsFilesError(
                CERTIFICATE, f"it cannot be used ({type(error).__name__})"
            ) from None

    @classmethod
    def _made(cls, contents: Mapping[str, bytes]) -> Self:
        chain = _certificates(contents[CERTIFICATE])
        context = _context([each.public_bytes(Encoding.PEM) for each in chain], contents[KEY])
        return cls(context, tuple(chain))

    def troubles(self, now: datetime) -> Iterator[Trouble]:
        """Yield why clients refuse the certificate, or will soon: one trouble at most."""
        if now >= self.expires_at:
            words = f"the certificate expired at {self.expires_at}, and clients refuse it: {_RENEW}"
            yield _trouble(words, "expired", stops=True)
        elif now < self.valid_from:
            words = f"the certificate is not valid before {self.valid_from}, and clients refuse it"
            yield _trouble(f"{words}: is this machine's clock right?", "not valid yet", stops=True)
        elif not is_for_servers(self._chain[0]):
            words = f"{NOT_FOR_SERVERS}, and clients refuse it: {_RENEW}"
            yield _trouble(words, "not for servers", stops=True)
        elif not names_a_host(self._chain[0]):
            yield _trouble(f"{NO_NAMES}: {_RENEW}", "no names", stops=False)
        elif not all(
            each.not_valid_before_utc <= now < each.not_valid_after_utc for each in self._chain[1:]
        ):
            words = "a CA's certificate behind the first one has expired, or is not valid yet"
            reason = f"{words}: clients that have no other way to a root refuse it"
            yield _trouble(reason, "chain", stops=False)
        elif now >= self.expires_at - ENDS_SOON:
            words = f"the certificate expires at {self.expires_at}: {_RENEW}"
            yield _trouble(words, "expires soon", stops=False)


def _trouble(words: str, kind: str, *, stops: bool) -> Trouble:
    return Trouble(
        ControlPlanePart.SERVER_CERTIFICATE, f"{CERTIFICATE}: {words}", stops=stops, kind=kind
    )


def _certificates(pem: bytes) -> list[x509.Certificate]:
    try:
        return load_certificates(pem)
    except InvalidPemError as error:
        holds = what_it_holds(pem)
        belongs = "the server's certificate in PEM, with its chain behind it"
        message = f"it holds {holds}; what belongs there: {belongs}"
        if "a certificate" in holds:  # one that cannot be read
            message = str(error)
        raise TlsFilesError(CERTIFICATE, message) from None


def _context(chain: list[bytes], key: bytes) -> ssl.SSLContext:
    """Return a context; `ssl` reads files alone, so it is given one in memory."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    file = os.memfd_create("server-tls")
    try:
        with open(file, "wb", closefd=False) as writer:
            writer.writelines([private_key_block(key).pem, *chain])
        context.load_cert_chain(f"/proc/self/fd/{file}", password="")
    except (OSError, InvalidPemError) as error:  # `SSLError` is an OSError
        raise _refused(key, error) from None
    finally:
        os.close(file)
    return context


def _refused(key: bytes, error: OSError | InvalidPemError) -> TlsFilesError:
    """Return why OpenSSL refuses the pair. Its reason is a constant such as EE_KEY_TOO_SMALL."""
    reason = getattr(error, "reason", None) or ""
    if reason.startswith(("EE_", "CA_")):
        return TlsFilesError(CERTIFICATE, f"OpenSSL does not take the certificate: {reason}")
    holds = what_it_holds(key)
    if any(f"{kind} private key" in holds for kind in _OF_SERVERS):
        return TlsFilesError(
            KEY,
            f"it holds {holds}, and the certificate in {CERTIFICATE} is of another key: the two do"
            " not match. Put both of one pair there",
        )
    belongs = "the certificate's private key in PEM, without a password"
    return TlsFilesError(KEY, f"it holds {holds}; what belongs there: {belongs}")
