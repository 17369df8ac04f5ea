"""Whose each CRL is, and which CAs of the bundle are revoked by one. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from cryptography import x509

from facade.devices.device_authorities import CertificateBundle
from facade.devices.revocation_list import InvalidRevocationListError, RevocationList
from facade.values.authority import Authority


def by_signer(
    authorities: Sequence[x509.Certificate], lists: Iterable[RevocationList] | None
) -> tuple[dict[Authority, RevocationList] | None, tuple[str, ...]]:
    """Return the list of each authority, None without CRLs; and whose the strangers' lists are.

    Raises `InvalidRevocationListError` for a list with a CA's name but without its signature, and
    for two lists of one authority.
    """
    if lists is None:
        return None, ()
    known: dict[Authority, RevocationList] = {}
    unused = list[str]()
    for each in lists:
        authority = _signer(each, authorities)
        if authority is None:
            unused.append(each.issuer.rfc4514_string())
        elif known.setdefault(authority, each) is not each:
            raise InvalidRevocationListError("it holds two CRLs of one CA")
    return known, tuple(unused)


def _signer(crl: RevocationList, authorities: Iterable[x509.Certificate]) -> Authority | None:
    """Return whose list it is, None for a stranger's; raise if it only claims to be a CA's."""
    named = [each for each in authorities if each.subject == crl.issuer]
    for each in named:
        if crl.is_signed_by(each):
            return Authority.of(each)
    if named:
        raise InvalidRevocationListError("a CRL is not signed by the CA that it names")
    return None


def revoked_authorities(
    bundle: CertificateBundle,
    by_authority: Mapping[Authority, list[x509.Certificate]],
    lists: Mapping[Authority, RevocationList],
) -> frozenset[Authority]:
    """Return the CAs of the bundle that a CA above has revoked, and those that depend only on them.

    OpenSSL looks only at the CRL of the device's own CA.
    """
    revoked = {
        Authority.of(each)
        for each in bundle.certificates
        for crl in lists.values()
        if crl.issuer == each.issuer and each.serial_number in crl.serials
    }
    issuers = {
        each: {Authority.of(issuer) for issuer in bundle.issuers_of(each)}
        for each in bundle.certificates
    }
    while below := {
        authority
        for authority in by_authority.keys() - revoked
        if all(issuers[each] and issuers[each] <= revoked for each in by_authority[authority])
    }:
        revoked |= below
    return frozenset(revoked)
