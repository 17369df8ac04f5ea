"""Identity profiles: certificates of several CAs, each read as its own profile says. Pure.

    the CAs of the verified chain -> the profiles that bind one of them
    each of these: does the certificate fit, field by field?
    exactly one fits              -> the device that it names
    none, or several              -> nobody

A field fits if the certificate has it exactly once, and its text is of the pattern. What a profile
does not name is not looked at. A device's id is `profile/value`, because two CAs may issue one
name; it is the value alone if there is only one profile.
"""

from collections.abc import Iterator, Sequence
from typing import Final, Self

from attrs import field, frozen
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from facade.values.authority import Authority, remembered_authority
from facade.values.device_identity import (
    DeviceIdentity,
    UnidentifiedDeviceError,
    malformed_names_nobody,
    may_authenticate_clients,
)
from facade.values.trust_domain import may_issue
from shared.certificate_fields import (
    has_extended_key_usage,
    key_type_of,
    names_oid,
    texts_of,
)
from shared.identity_profile import CertificateField, FieldPattern, IdentityProfile
from shared.malformed_x509 import MALFORMED
from shared.outside_bytes import Party, reads_bytes_of

MAX_TOLD_REASONS: Final = 3  # of as many profiles, in one line of the log
_SPIFFE: Final = "spiffe://"


@frozen
class _Named:
    """What a certificate that fits says."""

    profile: IdentityProfile
    value: str
    fleet: str | None


@frozen
class IdentityProfiles:
    """The profiles of an installation, each with its CAs."""

    profiles: tuple[IdentityProfile, ...]
    _authorities: tuple[frozenset[Authority], ...] = field(repr=False)  # of each profile

    @classmethod
    def of(cls, profiles: Sequence[IdentityProfile]) -> Self:
        """Return them; raise `ValueError` or `UnsupportedAlgorithm` for a CA that is unreadable."""
        authorities = (frozenset(map(Authority.of, each.authorities)) for each in profiles)
        return cls(tuple(profiles), tuple(authorities))

    def takes_usage(
        self, certificate: x509.Certificate, authorities: Sequence[x509.Certificate]
    ) -> bool:
        """Tell whether its extended key usage names clientAuth, or one of its profiles needs none.

        One that does not name clientAuth is refused by every profile.
        """
        if may_authenticate_clients(certificate):
            return True
        try:
            bound = self._bound_to(authorities)
            return any(_takes_usage(certificate, profile) for profile in bound)
        except (*MALFORMED, UnsupportedAlgorithm):
            return False

    @reads_bytes_of(Party.DEVICE)
    def identify(
        self, certificate: x509.Certificate, authorities: Sequence[x509.Certificate] = ()
    ) -> DeviceIdentity:
        """Return the identity; raise `UnidentifiedDeviceError` if there is none.

        `authorities`: the CAs of its verified chain.
        """
        with malformed_names_nobody():
            named = self._the_only_fit(certificate, authorities)
        qualified = f"{named.profile.name}/{named.value}"
        is_alone = len(self.profiles) == 1
        return DeviceIdentity(
            id=named.value if is_alone else qualified,
            fleet=named.fleet,
            serial=f"{certificate.serial_number:x}",
            not_after=certificate.not_valid_after_utc,
            other_names=(qualified if is_alone else named.value,),
        )

    def without_authority(self, trusted: frozenset[Authority]) -> tuple[str, ...]:
        """Return the names of the profiles none of whose CAs is trusted, or issued by one that is.

        By name alone, which may be too kind: a handshake verifies signatures.
        """
        names = {each.name for each in trusted}
        return tuple(
            profile.name
            for profile, bound in zip(self.profiles, self._authorities, strict=True)
            if bound.isdisjoint(trusted)
            and not any(each.issuer.rfc4514_string() in names for each in profile.authorities)
        )

    def _bound_to(self, authorities: Sequence[x509.Certificate]) -> Iterator[IdentityProfile]:
        chain = frozenset(map(remembered_authority, authorities))
        for profile, bound in zip(self.profiles, self._authorities, strict=True):
            if not bound.isdisjoint(chain):
                yield profile

    def _the_only_fit(
        self, certificate: x509.Certificate, authorities: Sequence[x509.Certificate]
    ) -> _Named:
        fits, reasons = list[_Named](), list[str]()
        for profile in self._bound_to(authorities):
            try:
                fits.append(_named(certificate, profile, authorities))
            except UnidentifiedDeviceError as error:
                reasons.append(f"{error} (identity profile {profile.name})")
        if len(fits) > 1:
            raise UnidentifiedDeviceError(
                f"the certificate fits {len(fits)} identity profiles, not one:"
                f" {fits[0].profile.name} and {fits[1].profile.name}"
            )
        if not fits:
            told = "; ".join(reasons[:MAX_TOLD_REASONS])
            raise UnidentifiedDeviceError(told or "no identity profile binds the certificate's CA")
        return fits[0]


def _named(
    certificate: x509.Certificate,
    profile: IdentityProfile,
    authorities: Sequence[x509.Certificate],
) -> _Named:
    """Return what it says by a profile; raise `UnidentifiedDeviceError` if it does not fit."""
    if not _takes_usage(certificate, profile):
        raise UnidentifiedDeviceError("the certificate is not for client authentication")
    if key_type_of(certificate) not in profile.key_types:
        raise UnidentifiedDeviceError("the certificate's key is of a type that is not allowed")
    oid = profile.hardware_key_oid
    if oid is not None and not names_oid(certificate, oid):
        raise UnidentifiedDeviceError("the certificate does not say that its key is in hardware")
    value, fleet = "", profile.fleet
    for each, pattern in profile.patterns.items():
        text, said = _fitting_text(certificate, each, pattern)
        if "device" in said:
            value = text
        fleet = said.get("fleet", fleet)
    if value.startswith(_SPIFFE) and not may_issue(authorities, value):
        raise UnidentifiedDeviceError("the URI SAN is of another SPIFFE trust domain than the CA")
    return _Named(profile, value, fleet)


def _fitting_text(
    certificate: x509.Certificate, each: CertificateField, pattern: FieldPattern
) -> tuple[str, dict[str, str]]:
    texts = texts_of(certificate, each)
    if len(texts) != 1:
        raise UnidentifiedDeviceError(
            f"the certificate has {len(texts)} names of the kind {each}, not one"
        )
    said = pattern.read(texts[0])
    if said is None:
        raise UnidentifiedDeviceError(f"the {each} does not fit its pattern")
    return texts[0], dict(said)


def _takes_usage(certificate: x509.Certificate, profile: IdentityProfile) -> bool:
    if may_authenticate_clients(certificate):
        return True
    return profile.may_lack_usage and not has_extended_key_usage(certificate)
