"""A CA whose certificate names a SPIFFE trust domain issues devices of that domain alone.

SPIFFE's X.509-SVID (section 4.1) lets a CA certificate have a URI SAN `spiffe://domain`. A CA
without one may name devices of any domain, within its name constraints, which OpenSSL enforces.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from cryptography import x509

from shared.malformed_x509 import MALFORMED

MAX_REMEMBERED_AUTHORITIES: Final = 256  # a bundle of some hundred CAs
_SCHEME: Final = "spiffe://"


@lru_cache(maxsize=MAX_REMEMBERED_AUTHORITIES)
def trust_domains(authority: x509.Certificate) -> frozenset[str]:
    """Return the trust domains that a CA's certificate names.

    Raises one of `MALFORMED` for one that cannot be read.
    """
    try:
        names = authority.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return frozenset(_domain(uri) for uri in uris if uri.lower().startswith(_SCHEME))


def may_issue(authorities: Iterable[x509.Certificate], device: str) -> bool:
    """Tell whether each CA of a chain may issue a device with this SPIFFE id; raises the same."""
    domain = _domain(device)
    return all(domain in domains for each in authorities if (domains := trust_domains(each)))


def names_none(authority: x509.Certificate) -> bool:
    """Tell whether a CA's certificate names no trust domain, as far as it can be read."""
    try:
        return not trust_domains(authority)
    except MALFORMED:
        return True  # each of its devices is refused as malformed, so it issues none


def _domain(uri: str) -> str:
    return uri[len(_SCHEME) :].partition("/")[0].lower()
