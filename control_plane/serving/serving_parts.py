"""A control plane that serves, put together: from its database to the application that answers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from aiohttp import web
from attrs import frozen

from control_plane.clock import now
from control_plane.console.console import Console
from control_plane.console.provider_sign_in import ProviderSignIn
from control_plane.database.database import Database
from control_plane.http.denied_logins import DeniedLogins
from control_plane.http.stranger_pace import StrangerPace
from control_plane.http.tls_reload import ReloadedTls
from control_plane.metrics import ControlPlaneMetrics
from control_plane.operators.stranger_lines import StrangerLines
from control_plane.proof.acts import Acts
from control_plane.proof.audit_chain import AuditChain
from control_plane.serving.app import make_app
from control_plane.serving.background_work import BackgroundWork
from control_plane.serving.config import ServeSettings
from control_plane.serving.console_rooms import console_downloads, console_rooms
from control_plane.serving.health import Health
from control_plane.serving.logins import Logins
from control_plane.serving.routes import Api
from control_plane.serving.startup_material import StartupMaterial
from control_plane.serving.use_cases import UseCases
from control_plane.sessions.session_seal import SessionSeal
from shared.supervised import Supervisor
from shared.upstream.credentials.google import GOOGLE_TOKEN_URL, GoogleTokenEndpoint


@frozen
class ServingParts:
    """What `serve` listens with, keeps going, and asks how it is."""

    app: web.Application
    lines: StrangerLines
    logins: Logins
    background: BackgroundWork
    health: Health

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        configured: ServeSettings,
        material: StartupMaterial,
        metrics: ControlPlaneMetrics,
        supervisor: Supervisor,
    ) -> AsyncIterator[Self]:
        """Yield them; connections to the database and to others end with the block."""
        google_url = configured.google_token_url or GOOGLE_TOKEN_URL
        memory = material.memory
        async with (
            Database.open(configured.database_url, metrics.note_database_wait) as database,
            GoogleTokenEndpoint.open(google_url, proxy=configured.outbound_proxy) as google,
        ):
            chain = AuditChain(database, material.signer, memory.highest, now, memory.seen)
            acts = Acts(chain)
            async with Logins.open(configured, chain, acts, material.session_seal) as logins:
                use_cases = UseCases.of(
                    configured, chain, material.sealer, google, now, metrics, acts, logins.sessions
                )
                yield cls._of(configured, material, use_cases, logins, metrics, supervisor)

    @classmethod
    def _of(
        cls,
        configured: ServeSettings,
        material: StartupMaterial,
        use_cases: UseCases,
        logins: Logins,
        metrics: ControlPlaneMetrics,
        supervisor: Supervisor,
    ) -> Self:
        chain = use_cases.chain
        lines = StrangerLines.of(behind_proxy=configured.behind_tls_proxy)
        background = BackgroundWork.of(
            configured, material, use_cases, logins, lines, metrics, supervisor
        )
        health = Health(
            chain,
            material.tls,
            background.private_keys,
            background.upkeep,
            background.notifications,
            supervisor,
            logins.sign_on,
            background.webhooks,
        )
        _watch(metrics, material.tls, background, chain)
        denied = DeniedLogins(metrics.denied_logins.inc, lines)
        app = make_app(
            Api.of(use_cases, configured, metrics, health),
            logins.sign_on.callers,
            metrics,
            lines,
            StrangerPace.of(behind_proxy=configured.behind_tls_proxy),
            _console(configured, material.session_seal, use_cases, logins, denied, health, metrics),
        )
        return cls(app, lines, logins, background, health)


def _console(
    configured: ServeSettings,
    seal: SessionSeal,
    use_cases: UseCases,
    logins: Logins,
    denied: DeniedLogins,
    health: Health,
    metrics: ControlPlaneMetrics,
) -> Console | None:
    """Return the console, unless it was taken away."""
    if not configured.console:
        return None
    return Console.of(
        console_rooms(use_cases, health, metrics),
        logins.sessions,
        logins.gate,
        denied,
        downloads=console_downloads(use_cases),
        public_url=configured.public_url,
        provider=ProviderSignIn.of(
            logins.sign_on,
            logins.sessions,
            seal,
            logins.gate.refused_logins,
            denied,
            public_url=configured.public_url,
        ),
    )


def _watch(
    metrics: ControlPlaneMetrics,
    tls: ReloadedTls | None,
    background: BackgroundWork,
    chain: AuditChain,
) -> None:
    if tls is not None:
        metrics.watch_certificate(tls)
    metrics.watch_notifications(background.notifications)
    metrics.watch_database(chain.database)
    metrics.watch_audit_log(lambda: chain.log.end.sequence if chain.log else 0)
