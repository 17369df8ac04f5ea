"""Which devices' certificates are accepted now: the trusted CAs, and what their CRLs say.

Pure. TLS asks OpenSSL the same at the handshake; this is asked again on every request, and of every
open connection when a file has changed. Where CRLs are configured, what no valid CRL speaks of is
refused.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from attrs import field, frozen
from cryptography import x509

from facade.devices.presented_device import Authority, PresentedDevice
from facade.devices.revocation_list import InvalidRevocationListError, RevocationList


@frozen
class TrustStanding:
    """What is wrong with the trust in devices, in words, and whether anybody is accepted."""

    problems: tuple[str, ...]
    accepts_some: bool


@frozen
class DeviceTrust:
    """The device CAs, and the valid CRL of each where CRLs are configured."""

    authorities: frozenset[Authority]
    lists: Mapping[Authority, RevocationList] | None = field(default=None, repr=False)
    _issuing: frozenset[Authority] = frozenset()  # those that issue devices, as far as is known
    _revoked: frozenset[Authority] = frozenset()  # by the list of the CA above
    unused_lists: int = 0  # of authorities that are not in the bundle

    @classmethod
    def build(
        cls, authorities: Iterable[x509.Certificate], lists: Iterable[RevocationList] | None
    ) -> "DeviceTrust":
        """Return what CAs and CRLs say together.

        Raises `InvalidRevocationListError` for a CRL that bears a CA's name and not its signature,
        and for two of one authority.
        """
        certificates = list(authorities)
        everybody = frozenset(Authority.of(each) for each in certificates)
        issuing = (everybody - _issuers_of_authorities(certificates)) or everybody
        if lists is None:
            return cls(everybody, None, issuing)
        known: dict[Authority, RevocationList] = {}
        unused = 0
        for each in lists:
            authority = _signer(each, certificates)
            if authority is None:
                unused += 1
            elif known.setdefault(authority, each) is not each:
                raise InvalidRevocationListError("it holds two CRLs of one CA")
        return cls(everybody, known, issuing, _revoked(certificates, known), unused)

    def refusal(self, device: PresentedDevice, now: datetime) -> str | None:
        """Return why the certificate is not accepted now, or None."""
        if device.not_after <= now:
            return "the certificate has expired"
        if device.anchored_in not in self.authorities:
            return "the certificate's CA is no longer trusted"
        if self.lists is None:
            return None
        if (problem := self._list_problem(device.issued_by, now)) is not None:
            return problem
        if device.serial in self.lists[device.issued_by].serials:
            return "the certificate is in its CA's CRL"
        return None

    def standing(self, now: datetime) -> TrustStanding:
        """Return whose devices are refused as a whole, and why."""
        problems = {
            authority: problem
            for authority in sorted(self._issuing, key=lambda each: each.name)
            if (problem := self._list_problem(authority, now)) is not None
        }
        return TrustStanding(
            tuple(
                f"devices of {authority.name} are refused: {why}"
                for authority, why in problems.items()
            ),
            accepts_some=len(problems) < len(self._issuing),
        )

    def next_updates(self) -> dict[str, datetime | None]:
        """Return by name when each CA's CRL ends, None where it has none; empty without CRLs."""
        if self.lists is None:
            return {}
        ends: dict[str, datetime | None] = {each.name: None for each in self._issuing}
        for authority, known in self.lists.items():
            before = ends.get(authority.name)
            ends[authority.name] = min(before, known.next_update) if before else known.next_update
        return ends

    def _list_problem(self, authority: Authority, now: datetime) -> str | None:
        if self.lists is None:
            return None
        if authority in self._revoked:
            return "the certificate's CA is in the CRL of the CA above it"
        known = self.lists.get(authority)
        if known is None:
            return "there is no CRL of the certificate's CA"
        if known.next_update <= now:
            return "the CRL of the certificate's CA has expired"
        if known.this_update > now:
            return "the CRL of the certificate's CA is not valid yet"
        return None


def _signer(crl: RevocationList, authorities: list[x509.Certificate]) -> Authority | None:
    """Return whose list it is, None for a stranger's; raise where it only claims to be a CA's."""
    named = [each for each in authorities if each.subject == crl.issuer]
    for each in named:
        if crl.is_signed_by(each):
            return Authority.of(each)
    if named:
        raise InvalidRevocationListError("a CRL is not signed by the CA that it names")
    return None


def _revoked(
    certificates: list[x509.Certificate], lists: Mapping[Authority, RevocationList]
) -> frozenset[Authority]:
    """Return the CAs of the bundle that the CA above has revoked."""
    return frozenset(
        Authority.of(each)
        for each in certificates
        for crl in lists.values()
        if crl.issuer == each.issuer and each.serial_number in crl.serials
    )


def _issuers_of_authorities(certificates: list[x509.Certificate]) -> frozenset[Authority]:
    """Return those that issued others of the bundle: roots above, which need no CRL for devices."""
    issuers = {each.issuer for each in certificates if each.issuer != each.subject}
    return frozenset(Authority.of(each) for each in certificates if each.subject in issuers)
