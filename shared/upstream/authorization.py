"""From a challenge to the value of `Authorization`: what a client asks, and who answers it.

The facade answers from its token broker; a check logs in once. Both mint with `mint`.
"""

from collections.abc import Sequence
from typing import Protocol, assert_never

from attrs import frozen

from shared.secret import Secret
from shared.upstream.basic_credential import BasicCredential, bearer_authorization
from shared.upstream.challenge import BasicChallenge, BearerChallenge, Challenge, preferred
from shared.upstream.errors import ChallengeError, CredentialRefusedError
from shared.upstream.scope import Scope
from shared.upstream.token_exchange import exchange
from shared.upstream.transport import UpstreamTransport


@frozen
class MintedAuthorization:
    """A value of `Authorization`, and for how long from now; None: as long as the credential."""

    header: Secret
    lifetime_seconds: float | None


class Authorizer(Protocol):
    """Knows what to send in `Authorization`; a client asks it, and never keeps the answer."""

    async def present(self, scope: Scope) -> Secret | None:
        """Return the value to send with the first request, if one is known already."""

    async def answer(
        self, challenges: tuple[Challenge, ...], scope: Scope, refused: Secret | None
    ) -> Secret | None:
        """Return the value to send once more after a refusal; None: there is nothing to send.

        `challenges` may be empty: Docker Hub sends a 401 without any, and ECR's 403 for an expired
        token has none (docs/decisions/registries.md). `refused` is what was sent.
        """

    def worked(self, scope: Scope) -> None:
        """Take note that the registry accepted what was sent for the scope."""

    def ended(
        self, scope: Scope, *, is_open: bool, unreadable: ChallengeError | None = None
    ) -> None:
        """Take note that a fetch is done with its login, whether or not anything was presented.

        `is_open`: the registry answered without asking for a login. `unreadable`: it asked for one
        in a way that nobody understands.
        """

    def close(self) -> None:
        """End what is being minted: nobody will present it."""


async def mint(
    transport: UpstreamTransport,
    challenge: BearerChallenge | BasicChallenge,
    scope: Scope,
    credential: BasicCredential | None,
) -> MintedAuthorization:
    """Return the answer to a challenge. Nothing is sent to a realm outside the connection's rule.

    Raises `CredentialRefusedError` if an anonymous connection is asked to log in, and whatever
    `exchange` raises.
    """
    match challenge:
        case BasicChallenge():
            if credential is None:
                raise CredentialRefusedError("the registry asks an anonymous connection to log in")
            return MintedAuthorization(credential.authorization(), None)
        case BearerChallenge():
            token = await exchange(transport, challenge, scope, credential)
            return MintedAuthorization(bearer_authorization(token.secret), token.lifetime_seconds)
        case _ as unreachable:
            assert_never(unreachable)


def answerable(challenges: Sequence[Challenge]) -> BearerChallenge | BasicChallenge:
    """Return the challenge to answer; raise `ChallengeError` if we speak none of their schemes."""
    challenge = preferred(challenges)
    if challenge is None:
        raise ChallengeError("the registry asks for no login that we can do (Bearer or Basic)")
    return challenge


class OneShotAuthorizer:
    """Logs in when it is challenged, and keeps nothing: for a single request."""

    def __init__(self, transport: UpstreamTransport, credential: BasicCredential | None) -> None:
        self._transport = transport
        self._credential = credential

    async def present(self, scope: Scope) -> Secret | None:  # noqa: ARG002 - the protocol's
        """Know nothing before a challenge."""
        return None

    async def answer(
        self, challenges: tuple[Challenge, ...], scope: Scope, refused: Secret | None
    ) -> Secret | None:
        """Mint for the challenge; a second refusal is final, and so is one without a challenge."""
        if refused is not None or not challenges:
            return None
        challenge = answerable(challenges)
        minted = await mint(self._transport, challenge, scope, self._credential)
        return minted.header

    def worked(self, scope: Scope) -> None:
        """Keep nothing."""

    def ended(
        self, scope: Scope, *, is_open: bool, unreadable: ChallengeError | None = None
    ) -> None:
        """Keep nothing: nobody waits for it."""

    def close(self) -> None:
        """Do nothing: whatever is under way runs in its caller's task."""
