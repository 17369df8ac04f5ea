"""Why a handshake led to no connection: a small set of reasons, and words for people. Pure.

A reason is the label of a metric, so it is never free text. Words are ours, or OpenSSL's own fixed
ones; nothing in them comes from the device.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

from attrs import frozen

from facade.devices.certificate_problem import CertificateProblem


class HandshakeEnd(StrEnum):
    """Why a handshake came to nothing."""

    # What is wrong with the device's certificate, or with one above it.
    NO_CERTIFICATE = "no_certificate"
    UNKNOWN_CA = "unknown_ca"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    REVOKED = "revoked"
    NO_CRL = "no_crl"
    CRL_EXPIRED = "crl_expired"
    CRL_UNUSABLE = "crl_unusable"
    WRONG_PURPOSE = "wrong_purpose"
    NOT_A_CA = "not_a_ca"
    CHAIN_TOO_LONG = "chain_too_long"
    BAD_SIGNATURE = "bad_signature"
    WEAK_CERTIFICATE = "weak_certificate"
    INVALID_CERTIFICATE = "invalid_certificate"
    # What the device and the facade do not have in common.
    TLS_VERSION = "tls_version"
    CIPHER = "cipher"
    CURVE = "curve"
    SIGNATURE_ALGORITHM = "signature_algorithm"
    # What is no handshake, or was not finished.
    PLAIN_HTTP = "plain_http"
    NOT_TLS = "not_tls"
    DEVICE_REFUSED = "device_refused"
    DEVICE_LEFT = "device_left"
    TIMEOUT = "timeout"
    GIVEN_UP = "given_up"
    TOO_OFTEN = "too_often"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    OTHER = "other"


@frozen
class Ending:
    """How a handshake ended: `reason` is fixed, `words` are for people.

    `depth` is 0 for the device's certificate, and counts up to the wrong one, if one is wrong.
    """

    reason: HandshakeEnd
    words: str
    depth: int | None = None

    @property
    def is_about_certificate(self) -> bool:
        """Whether a certificate was presented but not accepted."""
        return self.depth is not None


TIMED_OUT: Final = Ending(HandshakeEnd.TIMEOUT, "it did not come to its end in time")
GIVEN_UP: Final = Ending(HandshakeEnd.GIVEN_UP, "there were too many at once, and this was old")
TOO_OFTEN: Final = Ending(
    HandshakeEnd.TOO_OFTEN, "this address began too many handshakes, and none let a device in"
)
LEFT: Final = Ending(HandshakeEnd.DEVICE_LEFT, "the device left in the middle of it")
TOO_MANY: Final = Ending(
    HandshakeEnd.TOO_MANY_CONNECTIONS, "too many connections, and none is idle"
)
LEFT_SILENTLY: Final = Ending(
    HandshakeEnd.DEVICE_LEFT, "it ended before the first message of a device"
)

# X509_V_ERR_* of x509_vfy.h; "{}" is "the device's certificate" or "a CA's certificate".
_CERTIFICATE_ERRORS: Final[Mapping[int, tuple[HandshakeEnd, str]]] = {
    2: (HandshakeEnd.UNKNOWN_CA, "{} was issued by a CA that FACADE_DEVICE_CA_FILE does not hold"),
    3: (HandshakeEnd.NO_CRL, "FACADE_DEVICE_CRL_FILE holds no CRL of the CA that issued {}"),
    4: (HandshakeEnd.BAD_SIGNATURE, "the signature on {} cannot be read"),
    5: (HandshakeEnd.CRL_UNUSABLE, "the signature on the CRL for {} cannot be read"),
    6: (HandshakeEnd.INVALID_CERTIFICATE, "the key of the CA that issued {} cannot be read"),
    7: (HandshakeEnd.BAD_SIGNATURE, "the signature on {} is not that of the CA that it names"),
    8: (HandshakeEnd.CRL_UNUSABLE, "the CRL of the CA that issued {} has a wrong signature"),
    9: (HandshakeEnd.NOT_YET_VALID, "{} is not valid yet"),
    10: (HandshakeEnd.EXPIRED, "{} has expired"),
    11: (HandshakeEnd.CRL_UNUSABLE, "the CRL of the CA that issued {} is not valid yet"),
    12: (HandshakeEnd.CRL_EXPIRED, "the CRL of the CA that issued {} has expired"),
    13: (HandshakeEnd.INVALID_CERTIFICATE, "the time from which {} is valid cannot be read"),
    14: (HandshakeEnd.INVALID_CERTIFICATE, "the time until which {} is valid cannot be read"),
    15: (HandshakeEnd.CRL_UNUSABLE, "a time in the CRL of the CA that issued {} cannot be read"),
    16: (HandshakeEnd.CRL_UNUSABLE, "a time in the CRL of the CA that issued {} cannot be read"),
    18: (HandshakeEnd.UNKNOWN_CA, "{} is self-signed, and FACADE_DEVICE_CA_FILE does not hold it"),
    19: (HandshakeEnd.UNKNOWN_CA, "{} is a root that FACADE_DEVICE_CA_FILE does not hold"),
    20: (HandshakeEnd.UNKNOWN_CA, "{} was issued by a CA that FACADE_DEVICE_CA_FILE does not hold"),
    21: (HandshakeEnd.UNKNOWN_CA, "{} was issued by a CA that FACADE_DEVICE_CA_FILE does not hold"),
    22: (HandshakeEnd.CHAIN_TOO_LONG, "there are too many certificates above the device's"),
    23: (HandshakeEnd.REVOKED, "{} is in the CRL of the CA that issued it"),
    24: (HandshakeEnd.INVALID_CERTIFICATE, "the CA that issued {} has no key"),
    25: (HandshakeEnd.CHAIN_TOO_LONG, "{} may not have so many CAs below it (path length)"),
    26: (HandshakeEnd.WRONG_PURPOSE, "{} is not for client authentication (extended key usage)"),
    27: (HandshakeEnd.UNKNOWN_CA, "{} is not trusted"),
    28: (HandshakeEnd.UNKNOWN_CA, "{} is not trusted for clients"),
    32: (HandshakeEnd.NOT_A_CA, "{} has issued another one, and its key usage does not allow that"),
    33: (HandshakeEnd.CRL_UNUSABLE, "the CRL of the CA that issued {} is another CA's"),
    34: (HandshakeEnd.INVALID_CERTIFICATE, "{} has an unknown critical extension"),
    35: (HandshakeEnd.CRL_UNUSABLE, "the CA that issued {} may not sign CRLs (key usage)"),
    36: (HandshakeEnd.CRL_UNUSABLE, "the CRL for {} has an unknown critical extension"),
    41: (HandshakeEnd.INVALID_CERTIFICATE, "an extension of {} cannot be read"),
    44: (HandshakeEnd.CRL_UNUSABLE, "the CRL of the CA that issued {} does not speak of it"),
    47: (
        HandshakeEnd.INVALID_CERTIFICATE,
        "a CA does not permit the name in {} (name constraints)",
    ),
    48: (HandshakeEnd.INVALID_CERTIFICATE, "a CA excludes the name in {} (name constraints)"),
    54: (HandshakeEnd.CRL_UNUSABLE, "the CA that signed the CRL for {} does not verify"),
    66: (HandshakeEnd.WEAK_CERTIFICATE, "the key of {} is too weak"),
    67: (HandshakeEnd.WEAK_CERTIFICATE, "the key of {} is too weak"),
    68: (HandshakeEnd.WEAK_CERTIFICATE, "the hash in the signature on {} is too weak"),
    76: (HandshakeEnd.BAD_SIGNATURE, "the kind of signature on {} is unknown"),
    77: (HandshakeEnd.BAD_SIGNATURE, "the signature on {} is of another kind than its CA's key"),
    78: (HandshakeEnd.BAD_SIGNATURE, "{} names two kinds of signature for the one on it"),
    79: (HandshakeEnd.NOT_A_CA, "{} has issued another one, and is no CA's"),
}
_VERSION: Final = (HandshakeEnd.TLS_VERSION, "the device has no TLS version of FACADE_TLS_MINIMUM")
_CURVE: Final = (HandshakeEnd.CURVE, "the device has no key exchange (curve) in common with us")
_SIGNATURE: Final = (
    HandshakeEnd.SIGNATURE_ALGORITHM,
    "the device has no signature algorithm in common with us and our certificate's key",
)
_CIPHER: Final = (
    HandshakeEnd.CIPHER,
    "the device has no cipher suite (in TLS 1.2: or curve, or signature) in common with us",
)
_HTTP: Final = (HandshakeEnd.PLAIN_HTTP, "this is plain HTTP; devices speak TLS here")
_NO_TLS: Final = (HandshakeEnd.NOT_TLS, "this is not TLS")
_LONG: Final = (HandshakeEnd.CHAIN_TOO_LONG, "the device's certificates are too long")
# OpenSSL's reasons (sslerr.h); the words differ between versions, so that some stand twice.
_TLS_ERRORS: Final[Mapping[str, tuple[HandshakeEnd, str]]] = {
    "peer did not return a certificate": (
        HandshakeEnd.NO_CERTIFICATE,
        "the device presented no certificate",
    ),
    "unsupported protocol": _VERSION,
    "unknown protocol": _VERSION,
    "version too low": _VERSION,
    "no protocols available": _VERSION,
    "inappropriate fallback": _VERSION,
    "no shared cipher": _CIPHER,
    "no ciphers available": _CIPHER,
    "no ciphers specified": _CIPHER,
    "no suitable key share": _CURVE,
    "no suitable groups": _CURVE,
    "no shared groups": _CURVE,
    "missing supported groups extension": _CURVE,
    "wrong curve": _CURVE,
    "no suitable signature algorithm": _SIGNATURE,
    "no shared signature algorithms": _SIGNATURE,
    "missing sigalgs extension": _SIGNATURE,
    "wrong signature type": _SIGNATURE,
    "bad signature": (
        HandshakeEnd.BAD_SIGNATURE,
        "the device did not prove that it has the key of its certificate",
    ),
    "excessive message size": _LONG,
    "http request": _HTTP,
    "https proxy request": _HTTP,
    "wrong version number": _NO_TLS,
    "packet length too long": _NO_TLS,
    "bad record type": _NO_TLS,
    "unexpected message": _NO_TLS,
}
_PROBLEMS: Final[Mapping[CertificateProblem, HandshakeEnd]] = {
    CertificateProblem.EXPIRED: HandshakeEnd.EXPIRED,
    CertificateProblem.NOT_TRUSTED: HandshakeEnd.UNKNOWN_CA,
    CertificateProblem.CA_EXPIRED: HandshakeEnd.EXPIRED,
    CertificateProblem.CA_NOT_YET_VALID: HandshakeEnd.NOT_YET_VALID,
    CertificateProblem.CA_REVOKED: HandshakeEnd.REVOKED,
    CertificateProblem.REVOKED: HandshakeEnd.REVOKED,
    CertificateProblem.NO_LIST: HandshakeEnd.NO_CRL,
    CertificateProblem.LIST_EXPIRED: HandshakeEnd.CRL_EXPIRED,
    CertificateProblem.LIST_NOT_YET_VALID: HandshakeEnd.CRL_UNUSABLE,
}
_ABOUT_THE_CA: Final = frozenset(
    {
        CertificateProblem.CA_EXPIRED,
        CertificateProblem.CA_NOT_YET_VALID,
        CertificateProblem.CA_REVOKED,
    }
)
_ALERT: Final = " alert "


def ending_of_certificate(error: int, depth: int) -> Ending:
    """Return what OpenSSL's error about a certificate of the chain means."""
    whose = "a CA's certificate" if depth else "the device's certificate"
    reason, words = _CERTIFICATE_ERRORS.get(
        error, (HandshakeEnd.INVALID_CERTIFICATE, f"{{}} does not verify (X.509 error {error})")
    )
    return Ending(reason, words.format(whose), depth)


def ending_of_problem(problem: CertificateProblem) -> Ending:
    """Return what is said of a certificate that OpenSSL let pass, and that is not accepted now."""
    return Ending(_PROBLEMS[problem], problem.value, 1 if problem in _ABOUT_THE_CA else 0)


def ending_of_tls(errors: Sequence[tuple[str, str, str]] = ()) -> Ending:
    """Return what OpenSSL's errors (library, function, reason) of a handshake mean."""
    library, _, said = errors[0] if errors else ("", "", "")
    if said in _TLS_ERRORS:
        return Ending(*_TLS_ERRORS[said])
    if _ALERT in said:
        alert = said.partition(_ALERT)[2]
        return Ending(HandshakeEnd.DEVICE_REFUSED, f"the device ended it and said: {alert}")
    if library.startswith(("asn1", "x509", "ASN1", "X509")):
        return Ending(HandshakeEnd.INVALID_CERTIFICATE, "the device's certificate does not parse")
    return Ending(HandshakeEnd.OTHER, f"TLS failed: {said}" if said else "TLS failed")
