"""Whether a token endpoint's 401 is about the credential, or about the repository alone.

Some endpoints answer 401 for a repository that does not exist, and a device can make up as many as
it likes. Artifactory has an endpoint for each repository, also for those that are made up. So after
a 401:

1. The endpoint is asked once more, for no repository, as `docker login` does. If it accepts the
   credential, the 401 concerned only the repository.
2. If it does not, the endpoint that `GET /v2/` names is asked, which no device can choose. If it
   accepts the credential, the 401 concerned only the other endpoint. If not, the credential is
   wrong.

If nothing could be found out, only the repository that was asked for is refused. For these proofs a
wrong credential is shown once or twice more, and no more often: after a 401 to a proof, the next
try at that endpoint is the proof again, before any repository is asked for.
"""

from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import Final

from attrs import define, field

from facade.registries.refusals import StillRefusedError
from facade.registries.renewed import Lasting, Renewed
from shared.bounded_map import BoundedMap
from shared.upstream.basic_credential import BasicCredential
from shared.upstream.challenge import BearerChallenge
from shared.upstream.errors import CredentialRefusedError, Step, UpstreamError

UNAUTHORIZED: Final = 401
PROOF_SECONDS: Final = 5.0  # however many repositories a device makes up, they cost one proof
MAX_REALMS: Final = 64  # of one connection; a registry has one, Artifactory one for each repository

# Shows the credential for no repository in particular; raises `UpstreamError`.
ProveToRealm = Callable[[BearerChallenge, BasicCredential], Awaitable[None]]
# Returns how `GET /v2/` asks to log in; None if not by a token. Raises `UpstreamError`.
AskForLogin = Callable[[], Awaitable[BearerChallenge | None]]


class Verdict(Enum):
    """What a 401 of a token endpoint says."""

    OF_REPOSITORY = auto()  # the endpoint takes the credential
    OF_ENDPOINT = auto()  # it does not, and the registry's own one does
    OF_CREDENTIAL = auto()  # the registry's own one refuses it
    OF_ENDPOINT_AT_LEAST = auto()  # it does not, and the registry's own one does not tell
    UNKNOWN = auto()  # it does not tell


@define(eq=False)
class RealmProofs:
    """What the token endpoints of one connection think of its credential."""

    _prove: ProveToRealm | None  # None: nobody asks, and each 401 is about the credential
    _ask_for_login: AskForLogin | None
    _clock: Callable[[], float]
    _proofs: BoundedMap[str, Renewed[bool]] = field(
        factory=lambda: BoundedMap(MAX_REALMS), init=False
    )
    _found_wrong: BoundedMap[str, bool] = field(factory=lambda: BoundedMap(MAX_REALMS), init=False)
    _own: Renewed[BearerChallenge | None] = field(init=False)  # the registry's own endpoint
    _wrong_at: BearerChallenge | None = field(default=None, init=False)  # that, if it refused

    def __attrs_post_init__(self) -> None:
        """Ask for the registry's own endpoint by the same clock."""
        self._own = Renewed(self._find_own, self._clock)

    async def require_not_wrong(
        self, challenge: BearerChallenge, credential: BasicCredential
    ) -> bool:
        """Raise `CredentialRefusedError` if the credential was wrong, and still is.

        Raises `StillRefusedError` if that was found out just now. Returns whether it was proven to
        be right. If the endpoint is in trouble, this says nothing: the exchange will.
        """
        was_wrong_here = challenge.endpoint in self._found_wrong
        asked = self._wrong_at or (challenge if was_wrong_here else None)
        if asked is None:
            return False
        proof = self._proof(asked, credential)
        if (refused := proof.refusal) is not None:
            raise StillRefusedError(refused)
        is_right = await _is_taken(proof)
        if is_right is False:
            raise CredentialRefusedError(
                "the token endpoint refuses the credential", status=UNAUTHORIZED, step=Step.EXCHANGE
            )
        if is_right:
            self._found_wrong.pop(asked.endpoint)
            self._wrong_at = None
        return bool(is_right)

    async def judge(self, challenge: BearerChallenge, credential: BasicCredential) -> Verdict:
        """Find out what an endpoint's 401 is about, at most once in `PROOF_SECONDS` for each."""
        if self._prove is None or self._is_known_to_be_wrong(credential):
            return Verdict.OF_CREDENTIAL
        match await _is_taken(self._proof(challenge, credential)):
            case True:
                return Verdict.OF_REPOSITORY
            case False:
                self._found_wrong.set(challenge.endpoint, value=True)
                return await self._judge_at_own(challenge, credential)
            case None:
                return Verdict.UNKNOWN

    async def _judge_at_own(
        self, challenge: BearerChallenge, credential: BasicCredential
    ) -> Verdict:
        """Tell whether the registry's own endpoint refuses the credential, too."""
        own = await self._own_endpoint()
        if own is None:
            return Verdict.OF_ENDPOINT_AT_LEAST
        is_own = own.endpoint == challenge.endpoint
        is_taken = False if is_own else await _is_taken(self._proof(own, credential))
        if is_taken is None:
            return Verdict.OF_ENDPOINT_AT_LEAST
        self._wrong_at = None if is_taken else own
        return Verdict.OF_ENDPOINT if is_taken else Verdict.OF_CREDENTIAL

    @property
    def is_at_rest(self) -> bool:
        """Whether no endpoint found it wrong since it last accepted it."""
        return self._prove is None or not len(self._found_wrong)

    def close(self) -> None:
        """End what is being asked."""
        self._own.close()
        for realm in self._proofs:
            proof = self._proofs.get(realm)
            if proof is not None:
                proof.close()

    def _is_known_to_be_wrong(self, credential: BasicCredential) -> bool:
        """Tell whether the registry's own endpoint has refused it just now."""
        own = self._wrong_at
        return own is not None and self._proof(own, credential).refusal is not None

    async def _own_endpoint(self) -> BearerChallenge | None:
        try:
            return await self._own.get()
        except UpstreamError:
            return None

    async def _find_own(self) -> Lasting[BearerChallenge | None]:
        found = None if self._ask_for_login is None else await self._ask_for_login()
        return Lasting(found, PROOF_SECONDS)

    def _proof(self, challenge: BearerChallenge, credential: BasicCredential) -> Renewed[bool]:
        proof = self._proofs.get(challenge.endpoint)
        if proof is None:

            async def prove() -> Lasting[bool]:
                if self._prove is not None:
                    await self._prove(challenge, credential)
                return Lasting(value=True, lifetime_seconds=PROOF_SECONDS)

            proof = Renewed(prove, self._clock)
            self._proofs.set(challenge.endpoint, proof)
        return proof


async def _is_taken(proof: Renewed[bool]) -> bool | None:
    """Tell whether an endpoint takes the credential; None if it does not tell."""
    try:
        return await proof.get()
    except CredentialRefusedError as refusal:
        return False if refusal.status == UNAUTHORIZED else None
    except UpstreamError:
        return None
