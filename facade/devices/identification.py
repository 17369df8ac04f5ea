"""How devices are identified now: by one kind of name, or by a file of identity profiles.

The file is read again when it changes. Everybody who reads certificates holds this object, so that
a new file counts for all of them from one moment on.
"""

from collections.abc import Sequence
from typing import Final

from attrs import define
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from facade.devices.device_authorities import is_authority, named
from facade.errors import UnusableSettingError
from facade.values.authority import Authority
from facade.values.device_identity import DeviceIdentity, Identification
from facade.values.identity_profiles import IdentityProfiles
from shared.identity_profiles_file import ProfilesFileError, parse_profiles
from shared.malformed_x509 import MALFORMED
from shared.safe_message import SafeMessage

PROFILES: Final = "FACADE_DEVICE_PROFILES_FILE"


class UnusableProfilesError(SafeMessage, UnusableSettingError, ValueError):
    """The file of identity profiles cannot be used; the message says why."""


def load_profiles(content: bytes) -> IdentityProfiles:
    """Return the profiles of a file; raise `UnusableProfilesError`. Blocks: for a thread."""
    try:
        profiles = parse_profiles(content)
        cas = [each for profile in profiles for each in profile.authorities]
        leaf = next((each for each in cas if not is_authority(each)), None)
        loaded = IdentityProfiles.of(profiles)
    except ProfilesFileError as error:
        raise UnusableProfilesError(str(error)) from None
    except (*MALFORMED, UnsupportedAlgorithm):
        raise UnusableProfilesError("a certificate in it cannot be read") from None
    if leaf is not None:
        raise UnusableProfilesError(f"this is no CA's certificate: {named(leaf)}")
    return loaded


@define(eq=False)
class CurrentIdentification:
    """What certificates are read by now. For one event loop, and threads that only read."""

    current: Identification

    def without_authority(self, trusted: frozenset[Authority]) -> tuple[str, ...]:
        """Return the names of the profiles that no device can have, with these CAs trusted."""
        if isinstance(self.current, IdentityProfiles):
            return self.current.without_authority(trusted)
        return ()

    def takes_usage(
        self, certificate: x509.Certificate, authorities: Sequence[x509.Certificate]
    ) -> bool:
        """Ask what is current."""
        return self.current.takes_usage(certificate, authorities)

    def identify(
        self, certificate: x509.Certificate, authorities: Sequence[x509.Certificate] = ()
    ) -> DeviceIdentity:
        """Ask what is current; raise `UnidentifiedDeviceError`."""
        return self.current.identify(certificate, authorities)
