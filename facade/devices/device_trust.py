"""Which devices' certificates are accepted now: the trusted CAs, and what their CRLs say.

Pure. OpenSSL decides the same at the handshake. This is asked again for every request, and for
every open connection when a file has changed. If CRLs are configured, a certificate that no valid
CRL covers is refused. OpenSSL ignores the times of a trust anchor that is not self-signed; this
does not.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from attrs import field, frozen
from cryptography import x509

from facade.devices.authority_lists import by_signer, revoked_authorities
from facade.devices.certificate_problem import CertificateProblem
from facade.devices.chain_periods import Period
from facade.devices.device_authorities import CertificateBundle
from facade.devices.presented_device import PresentedDevice
from facade.devices.revocation_list import RevocationList
from facade.values.authority import Authority, remembered_authority
from facade.values.trust_domain import names_none


@frozen
class TrustStanding:
    """What is wrong with the trust in devices, in words, and whether anybody is accepted."""

    problems: tuple[str, ...]
    accepts_some: bool


@frozen
class DeviceTrust:
    """The device CAs, and the valid CRL of each if CRLs are configured."""

    authorities: frozenset[Authority]
    lists: Mapping[Authority, RevocationList] | None = field(default=None, repr=False)
    _issuing: frozenset[Authority] = frozenset()  # those that issue devices, as far as is known
    _periods: Mapping[Authority, list[Period]] = field(factory=dict, repr=False)
    _revoked: frozenset[Authority] = frozenset()  # by the list of a CA above
    unused_lists: tuple[str, ...] = ()  # their issuers (RFC 4514), which are not CAs of the bundle
    unbound_anchors: frozenset[Authority] = frozenset()  # whose certificate names no trust domain

    @classmethod
    def build(
        cls, authorities: Iterable[x509.Certificate], lists: Iterable[RevocationList] | None
    ) -> "DeviceTrust":
        """Return what CAs and CRLs say together.

        Raises `InvalidRevocationListError` for a CRL with a CA's name but without its signature,
        and for two of one authority.
        """
        bundle = CertificateBundle.of(authorities)
        by_authority = _by_authority(bundle)
        everybody = frozenset(by_authority)
        known, unused = by_signer(bundle.certificates, lists)
        return cls(
            everybody,
            known,
            issuing=(everybody - _issuers_of_authorities(bundle)) or everybody,
            periods={
                authority: [period for each in renewed for period in bundle.periods_of(each)]
                for authority, renewed in by_authority.items()
            },
            revoked=revoked_authorities(bundle, by_authority, known or {}),
            unused_lists=unused,
            unbound_anchors=frozenset(
                Authority.of(each)
                for each in (*bundle.roots, *bundle.lone_anchors)
                if names_none(each)
            ),
        )

    def refusal(self, device: PresentedDevice, now: datetime) -> CertificateProblem | None:
        """Return why the certificate is not accepted now, or None."""
        if device.not_after <= now:
            return CertificateProblem.EXPIRED
        if device.anchored_in not in self.authorities:
            return CertificateProblem.NOT_TRUSTED
        problem = self._time_problem(device.anchored_in, now)
        if problem is None and device.issued_by is not device.anchored_in:
            problem = self._time_problem(device.issued_by, now)
        if problem is not None or self.lists is None:
            return problem
        return self._list_problem(device.issued_by, now) or self._revocation(device)

    def standing(self, now: datetime) -> TrustStanding:
        """Return whose devices are all refused, and why."""
        problems = {
            authority: problem
            for authority in sorted(self._issuing, key=lambda each: each.name)
            if (problem := self._problem(authority, now)) is not None
        }
        return TrustStanding(
            tuple(
                f"devices of {authority.name} are refused: {why}"
                for authority, why in problems.items()
            ),
            accepts_some=len(problems) < len(self._issuing),
        )

    def next_updates(self) -> dict[str, datetime | None]:
        """Return by name when each CA's CRL ends, None if it has none; empty without CRLs."""
        if self.lists is None:
            return {}
        ends: dict[str, datetime | None] = {each.name: None for each in self._issuing}
        for authority, known in self.lists.items():
            before = ends.get(authority.name)
            ends[authority.name] = min(before, known.next_update) if before else known.next_update
        return ends

    def ends(self) -> dict[str, datetime]:
        """Return by name when each CA that issues devices expires, or the last chain above it."""
        ends = dict[str, datetime]()
        for authority in self._issuing:
            if periods := self._periods.get(authority):
                end = max(end for _, end in periods)
                ends[authority.name] = min(end, ends.get(authority.name, end))
        return ends

    def _problem(self, authority: Authority, now: datetime) -> CertificateProblem | None:
        return self._time_problem(authority, now) or self._list_problem(authority, now)

    def _time_problem(self, authority: Authority, now: datetime) -> CertificateProblem | None:
        """Return what is wrong with the times of a CA of the bundle, and of all chains above it.

        A device may present other CAs, of which nothing is known here.
        """
        periods = self._periods.get(authority)
        if periods is None:
            return None
        for begin, end in periods:
            if begin <= now < end:
                return None
        if not periods:
            return CertificateProblem.NOT_TRUSTED  # no chain ends
        is_early = all(now < begin for begin, _ in periods)
        return CertificateProblem.CA_NOT_YET_VALID if is_early else CertificateProblem.CA_EXPIRED

    def _revocation(self, device: PresentedDevice) -> CertificateProblem | None:
        if self.lists is None or device.serial not in self.lists[device.issued_by].serials:
            return None
        return CertificateProblem.REVOKED

    def _list_problem(self, authority: Authority, now: datetime) -> CertificateProblem | None:
        if self.lists is None:
            return None
        if authority in self._revoked:
            return CertificateProblem.CA_REVOKED
        known = self.lists.get(authority)
        if known is None:
            return CertificateProblem.NO_LIST
        if known.next_update <= now:
            return CertificateProblem.LIST_EXPIRED
        if known.this_update > now:
            return CertificateProblem.LIST_NOT_YET_VALID
        return None


def _by_authority(bundle: CertificateBundle) -> dict[Authority, list[x509.Certificate]]:
    """Return the certificates of each authority: several, if one was renewed."""
    found: dict[Authority, list[x509.Certificate]] = {}
    for each in bundle.certificates:
        found.setdefault(remembered_authority(each), []).append(each)
    return found


def _issuers_of_authorities(bundle: CertificateBundle) -> frozenset[Authority]:
    """Return those that issued others of the bundle: roots, which need no CRL for devices."""
    return frozenset(
        Authority.of(issuer)
        for each in bundle.certificates
        for issuer in bundle.issuers_of(each)
        if issuer.subject != each.subject  # a CA that changed its key is still a CA for devices
    )
