"""How one fetch logs in: present what is known, answer one refusal, then stop."""

from types import TracebackType
from typing import Final, Self

import aiohttp

from shared.failures import without_frames
from shared.secret import Secret
from shared.upstream.authorization import Authorizer
from shared.upstream.body_reading import read_rest
from shared.upstream.challenge import Challenge, parse_challenges
from shared.upstream.errors import (
    ChallengeError,
    CredentialRefusedError,
    GoneError,
    NotInRegistryError,
)
from shared.upstream.scope import Scope

# What Amazon says of a token, without a challenge: ECR in a 403 when it has expired
# (awslabs/amazon-ecr-credential-helper#7), public.ecr.aws in a 400 (oras-project/oras-go#1227).
AMAZON_REFUSALS: Final = (b"authorization token has expired", b"authorization token is invalid")


class Login:
    """The credential of one fetch, and whether a refusal was answered already.

    It is a context: on leaving, the authorizer is told that the fetch is done with its login.
    """

    def __init__(self, authorizer: Authorizer, scope: Scope) -> None:
        self._authorizer = authorizer
        self._scope = scope
        self._header: Secret | None = None
        self._was_asked = False
        self._unreadable: ChallengeError | None = None
        self.has_answered = False

    def __enter__(self) -> Self:
        """Begin; nothing is presented yet."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Tell the authorizer, if it was asked for anything."""
        if self._was_asked:
            was_answered = error is None or isinstance(error, NotInRegistryError | GoneError)
            is_open = self._header is None and was_answered
            self._authorizer.ended(self._scope, is_open=is_open, unreadable=self._unreadable)

    async def authorization(self) -> Secret | None:
        """Return what to send now."""
        if not self._was_asked:
            self._was_asked = True
            self._header = await self._authorizer.present(self._scope)
        return self._header

    @property
    def has_bearer(self) -> bool:
        """Whether a token is sent: then the token endpoint has accepted the credential."""
        return self._header is not None and self._header.reveal().startswith(b"Bearer ")

    async def answer(self, refusal: aiohttp.ClientResponse) -> None:
        """Take what to send after a refusal; raise `CredentialRefusedError` if there is nothing."""
        self.has_answered = True
        try:
            challenges = challenges_of(refusal)
        except ChallengeError as error:
            self._unreadable = without_frames(error)
            raise
        header = await self._authorizer.answer(challenges, self._scope, self._header)
        if header is None:
            raise CredentialRefusedError(
                "the registry refuses our credential", status=refusal.status
            )
        self._header = header

    def worked(self) -> None:
        """Tell the authorizer that the registry accepted what was sent."""
        if self._header is not None:
            self._authorizer.worked(self._scope)


async def asks_for_login(response: aiohttp.ClientResponse) -> bool:
    """Tell whether a new token may mend a refusal. It reads the body, within a bound.

    It may mend any 401, a 403 with a challenge, and a 403 or 400 with Amazon's words for a stale
    token.
    """
    match response.status:
        case 401:
            await read_rest(response)
            return True
        case 403 if "WWW-Authenticate" in response.headers:
            await read_rest(response)
            return True
        case 400 | 403:
            body = (await read_rest(response)).lower()
            return any(words in body for words in AMAZON_REFUSALS)
        case _:
            return False


def challenges_of(response: aiohttp.ClientResponse) -> tuple[Challenge, ...]:
    """Return the challenges of every `WWW-Authenticate` header, or raise `ChallengeError`."""
    # The first line alone may hide the others: `Negotiate` before `Bearer`.
    # See docs/decisions/registries.md.
    return parse_challenges(response.headers.getall("WWW-Authenticate", ()))
