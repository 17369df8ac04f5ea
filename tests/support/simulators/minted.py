"""Short-lived tokens of a simulated provider, and the registry's side of them."""

import asyncio
import secrets
import time

from attrs import define, field, frozen
from typing_extensions import override

from tests.support.simulators.body import StoredContent
from tests.support.simulators.login import BasicLogin, basic_header
from tests.support.simulators.registry import RegistrySimulator
from tests.support.simulators.wire import RecordedRequest, Wire

TOKEN_CANARY = "canary-minted-"
ECR_EXPIRED = b"Your Authorization Token has expired. Reauthenticate and try again."


@define
class MintedTokens:
    """Every token that was minted, in order, and until when each is accepted."""

    username: str
    accepted_seconds: float = 3600  # by the registry, whatever the token's answer said
    values: list[str] = field(factory=list, init=False)
    _alive: dict[str, float] = field(factory=dict, init=False)

    def __len__(self) -> int:
        """How many were minted."""
        return len(self.values)

    def mint(self) -> str:
        """Return a new token."""
        self.values.append(TOKEN_CANARY + secrets.token_urlsafe(24))
        self._alive[basic_header(self.username, self.values[-1])] = (
            time.monotonic() + self.accepted_seconds
        )
        return self.values[-1]

    def expire(self) -> None:
        """Accept none of them from now on."""
        self._alive.clear()

    def are_alive(self, authorization: str | None) -> bool:
        """Tell whether the value of `Authorization` holds one that is accepted."""
        return time.monotonic() < self._alive.get(authorization or "", 0.0)


@frozen(kw_only=True)
class MintedLogin(BasicLogin):
    """Every request needs a token that a provider minted and that has not expired."""

    username: str = ""
    password: str = ""
    tokens: MintedTokens

    @override
    def accepts(self, request: RecordedRequest) -> bool:
        """Tell whether the request carries one."""
        return self.tokens.are_alive(request.header("Authorization"))


class MintedRegistry(RegistrySimulator):
    """A registry that takes minted tokens, for one answer each: what follows may be long.

    `pause_seconds`: between a token's check and the content.
    """

    pause_seconds = 0.0

    def __init__(self, tokens: MintedTokens, challenge: str) -> None:
        super().__init__(login=MintedLogin(tokens=tokens, challenge=challenge))

    @override
    async def give(self, stored: StoredContent, request: RecordedRequest, wire: Wire) -> None:
        """Pause first."""
        await asyncio.sleep(self.pause_seconds)
        await super().give(stored, request, wire)


class EcrRegistry(MintedRegistry):
    """Amazon ECR: what has expired is refused in plain text with 403, and without a challenge."""

    def __init__(self, tokens: MintedTokens) -> None:
        challenge = 'Basic realm="https://registry.invalid/",service="ecr.amazonaws.com"'
        super().__init__(tokens, challenge)

    @override
    async def refuse(self, request: RecordedRequest, wire: Wire) -> None:
        """Tell what has expired from what was not sent at all."""
        if request.header("Authorization") is None:
            await super().refuse(request, wire)
        else:
            text = ("Content-Type", "text/plain; charset=utf-8")
            await self.answer(request, wire, 403, ECR_EXPIRED, text)


class ArtifactRegistry(MintedRegistry):
    """Google Artifact Registry: takes access tokens as Basic, and names a Bearer challenge."""

    def __init__(self, tokens: MintedTokens) -> None:
        realm = "https://artifacts.invalid/v2/token"
        super().__init__(tokens, f'Bearer realm="{realm}",service="artifacts.invalid"')
