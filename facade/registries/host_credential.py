"""One connection's credential for its whole host: shown as Basic, or to token endpoints.

If every device tried a refused password again, the account would be locked. So:

- Before a device's request shows it as Basic, it is shown to the registry once. If the registry
  accepts it, later refusals are about what was asked for.
- A token endpoint that refused it is shown it again only when that refusal is over, whatever scope
  it is asked for.
- An endpoint that refuses it may be one that a bad node named, one that the registry has left, or
  one of a repository that a device made up. If two endpoints refuse it, and nobody knows better of
  either, the credential is taken for wrong, and no other endpoint is shown it.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Final

from attrs import define, field

from facade.registries.refusals import Refusals, RememberedRefusal, StillRefusedError
from facade.registries.renewed import Lasting, Renewed, TellOfRenewal
from shared.bounded_map import BoundedMap
from shared.secret import Secret
from shared.upstream.basic_credential import BasicCredential
from shared.upstream.errors import CredentialRefusedError
from shared.upstream.scope import Scope

REALMS_THAT_REFUSE: Final = 2
MAX_SCOPES: Final = 4096  # of one connection, some 400 bytes each; the least used is forgotten

Credentials = Renewed[BasicCredential | None]  # None: an anonymous connection
# Tells whether it is the right one, if that can be told; raises `CredentialRefusedError`.
Prove = Callable[[Secret], Awaitable[bool]]


@define(eq=False)
class HostCredential:
    """The credential, and what is known of it. `is_minted`: a refused one is replaced."""

    _renewed: Credentials
    _prove: Prove | None
    _is_minted: bool
    _clock: Callable[[], float] = time.monotonic
    _tell: TellOfRenewal = lambda _: None  # how a proof ended
    _proof: Renewed[bool] = field(init=False)
    _passed_proof: bool = field(default=False, init=False)
    _refusing_realms: Refusals[str] = field(init=False)
    _worked_for: BoundedMap[Scope, bool] = field(factory=lambda: BoundedMap(MAX_SCOPES), init=False)

    def __attrs_post_init__(self) -> None:
        """Remember refusals by the same clock."""
        self._refusing_realms = Refusals(self._clock)
        self._proof = Renewed(self._prove_once, self._clock, self._tell)

    async def basic(self) -> Secret:
        """Return the value for Basic, proven; raise `CredentialRefusedError` if there is none."""
        await self._proof.get()
        return await self._basic()

    async def for_realm(self, realm: str) -> BasicCredential | None:
        """Return what a token endpoint may be shown; raise `StillRefusedError` if nothing may."""
        self._require_usable()
        credential = await self._renewed.get()
        if credential is not None and (refused := self._refusing_realms.of(realm)) is not None:
            raise StillRefusedError(refused)
        return credential

    def refused_by_realm(
        self, realm: str, error: CredentialRefusedError, *, is_right: bool, is_wrong: bool
    ) -> None:
        """Note that a token endpoint refused it.

        `is_right`: another endpoint is known to accept it. `is_wrong`: as far as is known, it is
        wrong. If neither, it counts as wrong once two endpoints refuse it.
        """
        if not is_right:
            self._refusing_realms.remember(realm, error)
        if is_wrong or self._refusing_realms.count >= REALMS_THAT_REFUSE:
            self._renewed.refuse(error)

    def refused_as_basic(self, refusal: CredentialRefusedError) -> None:
        """Note that the registry refused it. If it never worked, it is not shown again.

        If it passed its proof, it is right. Then what a device asked for is refused, which may be a
        repository that it made up.
        """
        if not (self._renewed.is_proven or self._passed_proof):
            self._renewed.refuse(refusal)

    async def may_replace(self, refused: Secret, scope: Scope) -> bool:
        """Tell whether there is, or may be minted, another value than one refused for a scope.

        If no value ever worked for the scope, a device may have made it up. Then the refused value
        stays until another is minted, once a minute. This does not count against other scopes.
        """
        credential = await self._renewed.get()
        if credential is None or credential.authorization() != refused:
            return True
        if self._worked_for.get(scope):
            return self._renewed.drop(credential)
        return await self._renewed.renew_beside(credential)

    def worked(self, scope: Scope) -> None:
        """Note that the registry accepted it, or what it was exchanged for, for a scope."""
        self._renewed.note_accepted()
        if scope not in self._worked_for:
            self._worked_for.set(scope, value=True)

    @property
    def refusals(self) -> tuple[RememberedRefusal, ...]:
        """What still holds, of the credential and of its proof."""
        return tuple(each for each in (self._renewed.refusal, self._proof.refusal) if each)

    @property
    def is_at_rest(self) -> bool:
        """Whether no value is being minted, and nobody refused one lately."""
        return (
            self._renewed.is_at_rest
            and self._proof.is_at_rest
            and not self._refusing_realms.holds_some
        )

    def close(self) -> None:
        """End what is being minted."""
        self._renewed.close()
        self._proof.close()

    async def _basic(self) -> Secret:
        credential = await self._renewed.get()
        if credential is None:
            raise CredentialRefusedError("the registry asks for a login, we have none")
        return credential.authorization()

    async def _prove_once(self) -> Lasting[bool]:
        self._require_usable()
        if self._prove is not None:
            try:
                self._passed_proof = await self._prove(await self._basic())
            except CredentialRefusedError as error:
                if self._is_minted:
                    self._renewed.refuse(error)
                raise
        return Lasting(value=True, lifetime_seconds=None)

    def _require_usable(self) -> None:
        if (refused := self._renewed.refusal) is not None:
            raise StillRefusedError(refused)
