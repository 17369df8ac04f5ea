"""A connection's provider of credentials, whose secret is opened when the registry is first asked.

Not before that, so that what is stored is served even if the secret does not open. The next request
tries again to open it, because the key may have come in the meantime.
"""

from attrs import define, field, frozen

from facade.registries.providers import Providers, WrongSecretError
from facade.registries.registry_troubles import RegistryTrouble, RegistryTroubles
from facade.registries.secret_openings import SecretOpenings
from facade.registries.unsealer import NoSealingKeyError
from shared.approved_connection import ApprovedConnection
from shared.sealed_secret import SealedSecretError
from shared.upstream.credentials.short_lived import CredentialProvider
from shared.upstream.errors import UpstreamError


class SecretUnusableError(UpstreamError):
    """The registry is not asked, because the secret is not what the connection needs."""


class SecretNotOpenedError(SecretUnusableError):
    """The registry is not asked, because the secret does not open with this facade's keys."""


@frozen
class _Opened:
    provider: CredentialProvider | None  # None: an anonymous connection


@define(eq=False)
class SealedProvider:
    """The provider of one connection as it is approved now."""

    _providers: Providers
    _connection: ApprovedConnection
    _openings: SecretOpenings
    _troubles: RegistryTroubles
    _opened: _Opened | None = field(default=None, init=False, repr=False)

    def require(self) -> CredentialProvider | None:
        """Return the provider, None for an anonymous connection; raise `SecretUnusableError`."""
        if self._opened is None:
            self._opened = _Opened(self._open())
        return self._opened.provider

    def _open(self) -> CredentialProvider | None:
        try:
            provider = self._providers.provider_of(self._connection)
        except SealedSecretError as error:
            if isinstance(error, NoSealingKeyError):
                self._openings.forget(self._connection)
            else:
                self._openings.note(self._connection, opened=False)
            self._troubles.begin(RegistryTrouble.SECRET, str(error))
            if isinstance(error, WrongSecretError):
                raise SecretUnusableError(str(error)) from None
            raise SecretNotOpenedError(str(error)) from None
        if self._connection.document.secret is not None:
            self._openings.note(self._connection, opened=True)
        self._troubles.end(RegistryTrouble.SECRET)
        return provider
