"""Single sign-on of one process, put together: the provider, its logouts, and who is let in."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Self

from attrs import frozen

from control_plane.clock import Clock
from control_plane.operators.login_gate import LoginGate
from control_plane.proof.audit_chain import AuditChain
from control_plane.single_sign_on.callers import Callers, Persons
from control_plane.single_sign_on.code_exchange import CodeExchange
from control_plane.single_sign_on.configuration import SingleSignOn
from control_plane.single_sign_on.provider import OpenIdProvider
from control_plane.single_sign_on.provider_http import ProviderHttp
from control_plane.single_sign_on.provider_logouts import ProviderLogouts
from control_plane.troubles import Trouble
from shared.supervised import Endless


@frozen
class Configured:
    """What there is with a provider."""

    settings: SingleSignOn
    provider: OpenIdProvider
    logouts: ProviderLogouts
    clock: Clock

    @property
    def code_exchange(self) -> CodeExchange | None:
        """The console's client, if there is one."""
        if self.settings.client_id is None:
            return None
        return CodeExchange(self.settings, self.provider, self.clock)


@frozen
class SignOn:
    """Who is let in; `configured` is None without single sign-on."""

    callers: Callers
    configured: Configured | None

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: SingleSignOn | None, gate: LoginGate, chain: AuditChain
    ) -> AsyncIterator[Self]:
        """Yield it; the provider is not asked yet."""
        if settings is None:
            yield cls(Callers(gate), None)
            return
        async with ProviderHttp.open(
            settings.networks, ca_certificate=settings.ca_certificate, proxy=settings.proxy
        ) as http:
            provider = OpenIdProvider(settings.issuer, http)
            logouts, clock = ProviderLogouts(settings.issuer, chain), chain.clock
            persons = Persons.of(settings, provider, logouts, gate.refused_logins, clock)
            yield cls(Callers(gate, persons), Configured(settings, provider, logouts, clock))

    def work(self) -> dict[str, Endless]:
        """Return what goes on in the background: the provider's keys are kept fresh."""
        return {"single sign-on": self.configured.provider.run} if self.configured else {}

    def troubles(self) -> Iterator[Trouble]:
        """Yield why the provider cannot be asked."""
        if self.configured and (trouble := self.configured.provider.trouble()) is not None:
            yield trouble
