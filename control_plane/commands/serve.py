"""`control-plane serve`: everything put together."""

import asyncio
import resource
import time
from contextlib import AsyncExitStack
from typing import Final

import click
import uvloop
from attrs import frozen

from control_plane.audit.last_export import LastExport
from control_plane.clock import now, unix_milliseconds
from control_plane.commands.running import fail, load_key, signer_of
from control_plane.commands.usage import Command
from control_plane.connections.survey import ConnectionSurvey
from control_plane.console.console import Console
from control_plane.console.provider_sign_in import ProviderSignIn
from control_plane.database.database import Database
from control_plane.database.notification_queue import NotificationQueue
from control_plane.errors import ControlPlaneError
from control_plane.http.denied_logins import DeniedLogins
from control_plane.http.open_connections import OpenConnections
from control_plane.http.server_tls import TlsFilesError
from control_plane.http.stranger_pace import StrangerPace
from control_plane.http.tls_reload import ReloadedTls, keep_reloading
from control_plane.metrics import ControlPlaneMetrics
from control_plane.operators.authenticator import Authenticator
from control_plane.operators.last_uses import LastUses
from control_plane.operators.login_gate import LoginGate
from control_plane.operators.named_tokens import NamedTokens
from control_plane.operators.stranger_lines import StrangerLines
from control_plane.prefix import PREFIX
from control_plane.proof.acts import Acts
from control_plane.proof.audit_chain import AuditChain, SeenChain
from control_plane.proof.belief import HighestGenerations
from control_plane.proof.generations_file import GenerationsFile, GenerationsFileError
from control_plane.proof.missing_keys import MissingKeys
from control_plane.proof.sealer import Sealer
from control_plane.proof.signer import Signer
from control_plane.serving.app import make_app
from control_plane.serving.config import ServeSettings
from control_plane.serving.console_rooms import console_downloads, console_rooms
from control_plane.serving.environment import settings
from control_plane.serving.health import Health
from control_plane.serving.private_keys import PrivateKeys
from control_plane.serving.routes import Api
from control_plane.serving.server import reload_signal, serving, wait_for_stop
from control_plane.serving.upkeep import STATE_DIR, Upkeep
from control_plane.serving.use_cases import UseCases
from control_plane.sessions.session_seal import SessionSeal
from control_plane.sessions.sessions import Sessions
from control_plane.single_sign_on.sign_on import SignOn
from control_plane.troubles import ToldTroubles
from control_plane.webhooks.targets_file import SETTING as WEBHOOKS_FILE
from control_plane.webhooks.targets_file import TargetsFile, TargetsFileError
from control_plane.webhooks.webhooks import WORK as WEBHOOKS
from control_plane.webhooks.webhooks import Webhooks
from shared.core_dumps import allow_core_dumps
from shared.environment import ConfigurationError, exit_with_configuration_error
from shared.generation_bound import highest_generation_at
from shared.listen_failure import why_not_listening
from shared.postgres.exposure import exposure_of
from shared.service_manager import ServiceManager
from shared.stopping import end_tasks
from shared.structured_log import configure, get_logger
from shared.supervised import Endless, Supervisor
from shared.upstream.credentials.google import GOOGLE_TOKEN_URL, GoogleTokenEndpoint

REMEMBERING: Final = "remembering"
_log = get_logger(__name__)


@frozen
class Memory:
    """What earlier processes have seen, and the file that keeps it."""

    file: GenerationsFile | None
    highest: HighestGenerations
    seen: SeenChain


@click.command(cls=Command, examples=("CONTROL_PLANE_LISTEN=127.0.0.1:8080 control-plane serve",))
def serve() -> None:
    """Answer the admin API until SIGTERM or SIGINT."""
    try:
        configured = settings(ServeSettings)
        signer = signer_of(configured)
        sealer = load_key(
            "sealing_public_key_file", configured.sealing_public_key_file, Sealer.from_pem
        )
        session_keys = _session_keys(configured)
        tls = ReloadedTls.load(configured.tls_cert_file, configured.tls_key_file)
        file = GenerationsFile.open(configured.state_dir) if configured.state_dir else None
        before = file.read(highest_generation_at(unix_milliseconds(now()))) if file else {}
        seen = file.read_chain() if file else SeenChain()
        targets = TargetsFile.load(configured.webhooks_file) if configured.webhooks_file else None
    except TargetsFileError as error:
        exit_with_configuration_error(ConfigurationError([f"{WEBHOOKS_FILE}: {error}"]))
    except GenerationsFileError as error:
        exit_with_configuration_error(ConfigurationError([f"{STATE_DIR}: {error}"]))
    except TlsFilesError as error:
        exit_with_configuration_error(ConfigurationError([f"{error.setting}: {error}"]))
    except ConfigurationError as error:
        exit_with_configuration_error(error)
    if configured.allow_core_dumps:
        allow_core_dumps()
    configure(configured.log_level)
    if (exposure := exposure_of(configured.database_url)) is not None:
        _log.warning("password is exposed", variable=f"{PREFIX}_DATABASE_URL", reason=exposure)
    try:
        memory = Memory(file, HighestGenerations(before), seen)
        with ServiceManager.of_this_process() as manager:
            uvloop.run(
                _serve(configured, signer, sealer, session_keys, tls, memory, targets, manager)
            )
    except ControlPlaneError as error:
        fail(str(error))
    except OSError as error:
        fail(f"cannot listen on {configured.listen}: {why_not_listening(error)}")


def _session_keys(configured: ServeSettings) -> SessionSeal:
    """Return the configured keys, or one of this process."""
    if configured.session_key_file is None:
        return SessionSeal.make()
    return load_key("session_key_file", configured.session_key_file, SessionSeal.parse)


def _watch(
    metrics: ControlPlaneMetrics,
    database: Database,
    notifications: NotificationQueue,
    chain: AuditChain,
) -> None:
    metrics.watch_notifications(notifications)
    metrics.watch_database(database)
    metrics.watch_audit_log(lambda: chain.log.end.sequence if chain.log else 0)


async def _serve(
    configured: ServeSettings,
    signer: Signer,
    sealer: Sealer,
    session_seal: SessionSeal,
    tls: ReloadedTls | None,
    memory: Memory,
    targets: TargetsFile | None,
    manager: ServiceManager,
) -> None:
    reload = reload_signal()
    metrics = ControlPlaneMetrics()
    supervisor = Supervisor(lambda work: metrics.background_failures.labels(work).inc())
    supervisor.watch(asyncio.get_running_loop())
    if tls is not None:
        metrics.watch_certificate(tls)
    async with (
        AsyncExitStack() as ending,
        Database.open(configured.database_url) as database,
        GoogleTokenEndpoint.open(
            configured.google_token_url or GOOGLE_TOKEN_URL, proxy=configured.outbound_proxy
        ) as google,
    ):
        chain = AuditChain(database, signer, memory.highest, now, memory.seen)
        acts, last_uses = Acts(chain), LastUses(database, now)
        authenticator = Authenticator(chain, last_uses.note)
        gate = LoginGate.of(
            authenticator,
            NamedTokens(database),
            time.monotonic,
            behind_proxy=configured.behind_tls_proxy,
        )
        sign_on = await ending.enter_async_context(
            SignOn.open(configured.sign_on, gate, database, now)
        )
        sessions = Sessions.of(
            session_seal,
            authenticator,
            chain,
            acts,
            sign_on=sign_on.configured.settings.sha256 if sign_on.configured else None,
        )
        use_cases = UseCases.of(configured, chain, sealer, google, now, metrics, acts, sessions)
        remembering = Upkeep(chain, use_cases.history, MissingKeys(chain), memory.file)
        notifications = NotificationQueue(database)
        _watch(metrics, database, notifications, chain)
        private_keys = PrivateKeys.of(configured)
        webhooks = Webhooks.of(
            targets,
            chain,
            now,
            metrics,
            supervisor,
            remembering.troubles,
            proxy=configured.outbound_proxy,
        )
        health = Health(
            chain, tls, private_keys, remembering, notifications, supervisor, sign_on, webhooks
        )
        lines = StrangerLines.of(behind_proxy=configured.behind_tls_proxy)
        denied = DeniedLogins(metrics.denied_logins.inc, lines)
        console = Console.of(
            console_rooms(use_cases, health, metrics),
            sessions,
            gate,
            denied,
            downloads=console_downloads(use_cases),
            public_url=configured.public_url,
            provider=ProviderSignIn.of(
                sign_on,
                sessions,
                session_seal,
                gate.refused_logins,
                denied,
                public_url=configured.public_url,
            ),
        )
        app = make_app(
            Api.of(use_cases, configured, metrics, health),
            sign_on.callers,
            metrics,
            lines,
            StrangerPace.of(behind_proxy=configured.behind_tls_proxy),
            console if configured.console else None,
        )
        accepted = _accepting(configured, metrics)
        async with serving(
            app,
            configured.listen,
            tls.current.context if tls else None,
            accepted,
            lines,
            drain_seconds=configured.drain_timeout,
        ) as listener:
            _tell_how_it_serves(configured, tls)
            told = ToldTroubles()
            work: dict[str, Endless] = {
                REMEMBERING: remembering.run,
                "notifications": notifications.run,
                "survey": ConnectionSurvey(database, metrics, now).run,
                "last export": LastExport(database, metrics).run,
                "private keys": private_keys.run,
                "last uses": last_uses.run,
                **sign_on.work(),
                "refused calls": lines.run,
                "files": lambda: keep_reloading(
                    tls,
                    reload,
                    listener.present,
                    lambda: told.tell(health.troubles()),
                    manager.reloading,
                    [webhooks.look] if webhooks else [],
                ),
                "watchdog": manager.keep_pinging,
                "status": lambda: manager.keep_telling(health.status),
            }
            if webhooks is not None:
                work[WEBHOOKS] = webhooks.run
            beside = [supervisor.keep(name, each) for name, each in work.items()]
            manager.tell_ready()
            _log.info("stopping", signal=await wait_for_stop())
            manager.tell_stopping()
            await end_tasks(*beside)
            await last_uses.look()
        lines.tell()
        await _end_in_order(supervisor, REMEMBERING, remembering.keep)
        if webhooks is not None:
            await _end_in_order(supervisor, WEBHOOKS, webhooks.close)
    _log.info("stopped")


def _accepting(configured: ServeSettings, metrics: ControlPlaneMetrics) -> OpenConnections:
    accepted = OpenConnections.of_descriptors(
        _raise_file_limit(), behind_proxy=configured.behind_tls_proxy
    )
    metrics.connections.set_function(lambda: accepted.count)
    return accepted


def _tell_how_it_serves(configured: ServeSettings, tls: ReloadedTls | None) -> None:
    _log.info(
        "serving",
        listen=configured.listen,
        scheme="https" if tls else "http",
        file_limit=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    )
    if configured.identity_form is None:
        _log.warning(
            "the form of devices' identities is not known",
            variable=f"{PREFIX}_DEVICE_IDENTITY",
        )
    if configured.console and configured.session_key_file is None:
        _log.warning(
            "sessions end with this process, and no other process takes them",
            variable=f"{PREFIX}_SESSION_KEY_FILE",
        )


async def _end_in_order(supervisor: Supervisor, name: str, end: Endless) -> None:
    """Do the last of some work; if it fails, the process stops all the same."""
    try:
        await end()
    except Exception as error:  # noqa: BLE001 - it is logged and counted
        supervisor.failed(name, error)


def _raise_file_limit() -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
