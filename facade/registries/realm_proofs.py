"""Whether a token endpoint's 401 is about the credential, or about the repository alone.

Some answer 401 for a repository that does not exist, and a device can make up as many as it likes.
So after a 401 an endpoint is asked once more, for no repository, as `docker login` does. If it
takes the credential then, the 401 was the repository's alone.

A wrong credential is shown no oftener for that. If no endpoint ever took it, the first 401 counts
for everybody, as long as a refusal holds; and after any 401 that counted, the next try is this
proof, before a repository is asked for.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from attrs import define, field

from facade.registries.refusals import StillRefusedError
from facade.registries.renewed import Lasting, Renewed
from shared.bounded_map import BoundedMap
from shared.upstream.challenge import BearerChallenge
from shared.upstream.credentials.static import BasicCredential
from shared.upstream.errors import CredentialRefusedError, UpstreamError

PROOF_SECONDS: Final = 5.0  # so many inventions of one device cost one proof
MAX_REALMS: Final = 64  # of one connection; a registry has one, Artifactory one for each repository

# Shows the credential for no repository in particular; raises `UpstreamError`.
ProveToRealm = Callable[[BearerChallenge, BasicCredential], Awaitable[None]]


@define(eq=False)
class RealmProofs:
    """What the token endpoints of one connection think of its credential."""

    _prove: ProveToRealm | None  # None: nobody asks, and each 401 is about the credential
    _clock: Callable[[], float]
    _proofs: BoundedMap[str, Renewed[bool]] = field(
        factory=lambda: BoundedMap(MAX_REALMS), init=False
    )
    _found_wrong: BoundedMap[str, bool] = field(factory=lambda: BoundedMap(MAX_REALMS), init=False)

    async def require_not_wrong(
        self, realm: str, challenge: BearerChallenge, credential: BasicCredential
    ) -> bool:
        """Raise `CredentialRefusedError` if the credential was wrong there, and still is.

        Raises `StillRefusedError` if that was found out just now. Returns whether it was proven to
        be right.
        """
        if self._prove is None or realm not in self._found_wrong:
            return False
        proof = self._proof(realm, challenge, credential)
        if (refused := proof.refusal) is not None:
            raise StillRefusedError(refused)
        try:
            await proof.get()
        except CredentialRefusedError:
            raise
        except UpstreamError:
            return False  # the endpoint is in trouble: the exchange itself tells
        self._found_wrong.pop(realm)
        return True

    async def is_right(
        self,
        realm: str,
        challenge: BearerChallenge,
        credential: BasicCredential,
        *,
        was_taken: bool,
    ) -> bool:
        """Tell whether the endpoint takes the credential, so that its 401 is the repository's.

        `was_taken`: some endpoint did, some time; else nobody is asked, and it counts as wrong.
        """
        if self._prove is not None and was_taken:
            with suppress(UpstreamError):
                return await self._proof(realm, challenge, credential).get()
        self._found_wrong.set(realm, value=True)
        return False

    @property
    def is_at_rest(self) -> bool:
        """Whether no endpoint found it wrong since it was last right there."""
        return self._prove is None or not len(self._found_wrong)

    def close(self) -> None:
        """End what is being asked."""
        for realm in self._proofs:
            proof = self._proofs.get(realm)
            if proof is not None:
                proof.close()

    def _proof(
        self, realm: str, challenge: BearerChallenge, credential: BasicCredential
    ) -> Renewed[bool]:
        proof = self._proofs.get(realm)
        if proof is None:

            async def prove() -> Lasting[bool]:
                if self._prove is not None:
                    await self._prove(challenge, credential)
                return Lasting(value=True, lifetime_seconds=PROOF_SECONDS)

            proof = Renewed(prove, self._clock)
            self._proofs.set(realm, proof)
        return proof
