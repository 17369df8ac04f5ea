"""The files that the facade reads at its start and again later: TLS, trust, keys."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

from attrs import define, field
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from facade.devices.device_listener import DeviceListener
from facade.devices.device_tls import CERTIFICATE, DEVICE_CA, DEVICE_CRL, KEY, DeviceTls, TlsFiles
from facade.devices.identification import (
    PROFILES,
    CurrentIdentification,
    UnusableProfilesError,
    load_profiles,
)
from facade.devices.live_connections import LiveConnections
from facade.devices.reload import ReloadedFiles, Take
from facade.devices.replaceable import Replaceable
from facade.devices.revocation_list import MAX_FILE_BYTES
from facade.devices.tls import TlsConfigurationError
from facade.loop.thread_work import in_access_thread
from facade.metrics.device_metrics import DeviceMetrics
from facade.serving.config import DeviceSettings, FacadeSettings
from facade.values.device_identity import Identification, IdentityRule
from shared.identity_form import compile_uri_pattern
from shared.keys import InvalidKeyFileError, load_sealing_private_keys, load_statement_public_keys
from shared.log_fields import bounded_text
from shared.structured_log import get_logger
from shared.watched_files import WatchedFiles

SEALING_KEY: Final = "FACADE_SEALING_PRIVATE_KEY_FILE"
STATEMENT_KEY: Final = "FACADE_STATEMENT_PUBLIC_KEY_FILE"
MAX_NAMED_ISSUERS: Final = 3  # in one log line; further ones are counted
PRIVATE_KEYS: Final = (KEY, SEALING_KEY)

_Key = TypeVar("_Key")
_log = get_logger("facade.startup_files")


@define(eq=False)
class StartupFiles:
    """What was last read from them."""

    _paths: Mapping[str, Path]
    _contents: Mapping[str, bytes] = field(repr=False)
    _tls_minimum: str
    tls: DeviceTls
    identification: CurrentIdentification
    sealing_keys: Replaceable[str, X25519PrivateKey] = field(repr=False)
    statement_keys: Replaceable[str, Ed25519PublicKey]
    exposed: dict[str, bool]  # by setting of a private key: every user of the machine may read it
    refused: dict[str, str] = field(factory=dict, init=False)  # by setting: why it is not reloaded

    @classmethod
    def read(cls, settings: FacadeSettings) -> "StartupFiles":
        """Read everything. Blocks.

        Raises `TlsConfigurationError`, `UnusableProfilesError` or `InvalidKeyFileError`.
        """
        paths = _paths(settings)
        found = WatchedFiles(paths, MAX_FILE_BYTES).read()
        for name, why in found.unreadable.items():  # since the settings were read
            raise TlsConfigurationError(f"{name}: {why}")
        contents = found.contents
        return cls(
            paths,
            contents,
            settings.tls_minimum,
            DeviceTls.load(TlsFiles.of(contents), settings.tls_minimum),
            CurrentIdentification(identification_of(settings, contents.get(PROFILES))),
            Replaceable(load_sealing_private_keys(contents[SEALING_KEY])),
            Replaceable(load_statement_public_keys(contents[STATEMENT_KEY])),
            {name: name in found.exposed for name in PRIVATE_KEYS},
        )

    def reloaded(
        self,
        listener: DeviceListener,
        live: LiveConnections,
        metrics: DeviceMetrics,
        look_again: Callable[[], None],
    ) -> list[ReloadedFiles]:
        """Return what has to be read again, and who takes it then.

        `look_again` is called if there are other statement keys.
        """

        async def take_tls(contents: Mapping[str, bytes]) -> Mapping[str, str]:
            before = self.tls.files.device_ca
            self.tls, refused = await in_access_thread(
                self.tls.succeeded_by, TlsFiles.of(contents), self._tls_minimum
            )
            listener.context = self.tls.context
            live.adopt(self.tls.trust)
            self.tell_of_unused_lists()
            if self.tls.files.device_ca != before:
                await listener.judge_anew()
            return refused

        async def take_profiles(contents: Mapping[str, bytes]) -> Mapping[str, str]:
            try:
                found = await in_access_thread(load_profiles, contents[PROFILES])
            except UnusableProfilesError as error:
                return {PROFILES: str(error)}
            self.identification.current = found
            live.begin_admissions_anew()
            await listener.judge_anew()
            return {}

        sealing = _key_taker(SEALING_KEY, load_sealing_private_keys, self.sealing_keys)
        statement = _key_taker(
            STATEMENT_KEY, load_statement_public_keys, self.statement_keys, look_again
        )
        profiles = self._paths.keys() & {PROFILES}
        of_tls = self._paths.keys() - {SEALING_KEY, STATEMENT_KEY, PROFILES}
        return [
            self._part(of_tls, take_tls, metrics),
            *(self._part({each}, take_profiles, metrics) for each in profiles),
            self._part({SEALING_KEY}, sealing, metrics),
            self._part({STATEMENT_KEY}, statement, metrics),
        ]

    def tell_of_unused_lists(self) -> None:
        """Log if there are CRLs of CAs that are not trusted: nothing is checked by them."""
        if issuers := self.tls.trust.unused_lists:
            reason = f"their CAs are not in FACADE_DEVICE_CA_FILE: {_named(issuers)}"
            count = len(issuers)
            _log.warning("CRLs are not used", variable=DEVICE_CRL, count=count, reason=reason)

    def _part(self, names: set[str], take: Take, metrics: DeviceMetrics) -> ReloadedFiles:
        files = WatchedFiles({name: self._paths[name] for name in names}, MAX_FILE_BYTES)
        used = {name: self._contents[name] for name in names}
        return ReloadedFiles(files, used, take, metrics, self.refused, self.exposed)


def _named(issuers: Sequence[str]) -> str:
    """Return the first of some names, bounded and escaped, and how many more there are."""
    named = "; ".join(bounded_text(each) for each in issuers[:MAX_NAMED_ISSUERS])
    more = len(issuers) - MAX_NAMED_ISSUERS
    return f"{named}; and {more} more" if more > 0 else named


def _paths(settings: FacadeSettings) -> dict[str, Path]:
    paths = {
        CERTIFICATE: settings.tls_cert_file,
        KEY: settings.tls_key_file,
        DEVICE_CA: settings.device_ca_file,
        SEALING_KEY: settings.sealing_private_key_file,
        STATEMENT_KEY: settings.statement_public_key_file,
    }
    if settings.device_crl_file is not None:
        paths[DEVICE_CRL] = settings.device_crl_file
    if settings.device_profiles_file is not None:
        paths[PROFILES] = settings.device_profiles_file
    return paths


def identification_of(settings: DeviceSettings, profiles: bytes | None) -> Identification:
    """Return how certificates are read; raise `UnusableProfilesError`.

    `profiles`: what the file of identity profiles holds, if there is one.
    """
    if profiles is not None:
        return load_profiles(profiles)
    return IdentityRule(settings.device_identity, compile_uri_pattern(settings.device_uri_pattern))


def _key_taker(
    setting: str,
    load: Callable[[bytes], Mapping[str, _Key]],
    keys: Replaceable[str, _Key],
    taken: Callable[[], None] = lambda: None,
) -> Take:
    async def take(contents: Mapping[str, bytes]) -> Mapping[str, str]:
        try:
            keys.replace(load(contents[setting]))
        except InvalidKeyFileError as error:
            return {setting: str(error)}
        taken()
        return {}

    return take
