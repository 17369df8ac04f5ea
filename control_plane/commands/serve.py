"""`control-plane serve`: everything put together."""

import asyncio
import resource

import click
import uvloop

from control_plane.clock import now, unix_milliseconds
from control_plane.commands.running import fail, load_key, signer_of
from control_plane.commands.usage import Command
from control_plane.errors import ControlPlaneError
from control_plane.http.listener import Listener
from control_plane.http.open_connections import OpenConnections
from control_plane.http.server_tls import TlsFilesError
from control_plane.http.tls_reload import ReloadedTls, keep_reloading
from control_plane.metrics import ControlPlaneMetrics
from control_plane.prefix import PREFIX
from control_plane.proof.audit_chain import SeenChain
from control_plane.proof.belief import HighestGenerations
from control_plane.proof.generations_file import GenerationsFile, GenerationsFileError
from control_plane.proof.sealer import Sealer
from control_plane.serving.config import ServeSettings
from control_plane.serving.environment import settings
from control_plane.serving.server import reload_signal, serving, wait_for_stop
from control_plane.serving.serving_parts import ServingParts
from control_plane.serving.startup_material import Memory, StartupMaterial
from control_plane.serving.upkeep import STATE_DIR
from control_plane.sessions.session_seal import SessionSeal
from control_plane.troubles import ToldTroubles
from control_plane.webhooks.targets_file import SETTING as WEBHOOKS_FILE
from control_plane.webhooks.targets_file import TargetsFile, TargetsFileError
from shared.core_dumps import allow_core_dumps
from shared.environment import ConfigurationError, exit_with_configuration_error
from shared.generation_bound import highest_generation_at
from shared.listen_failure import why_not_listening
from shared.postgres.exposure import exposure_of
from shared.service_manager import ServiceManager
from shared.stopping import end_tasks
from shared.structured_log import configure, get_logger
from shared.supervised import Endless, Supervisor

_log = get_logger(__name__)


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
    memory = Memory(file, HighestGenerations(before), seen)
    material = StartupMaterial(signer, sealer, session_keys, tls, memory, targets)
    try:
        with ServiceManager.of_this_process() as manager:
            uvloop.run(_serve(configured, material, manager))
    except ControlPlaneError as error:
        fail(str(error))
    except OSError as error:
        fail(f"cannot listen on {configured.listen}: {why_not_listening(error)}")


def _session_keys(configured: ServeSettings) -> SessionSeal:
    """Return the configured keys, or one of this process."""
    if configured.session_key_file is None:
        return SessionSeal.make()
    return load_key("session_key_file", configured.session_key_file, SessionSeal.parse)


async def _serve(
    configured: ServeSettings, material: StartupMaterial, manager: ServiceManager
) -> None:
    reload, tls = reload_signal(), material.tls
    metrics = ControlPlaneMetrics()
    supervisor = Supervisor(lambda work: metrics.background_failures.labels(work).inc())
    supervisor.watch(asyncio.get_running_loop())
    async with ServingParts.open(configured, material, metrics, supervisor) as parts:
        async with serving(
            parts.app,
            configured.listen,
            tls.current.context if tls else None,
            _accepting(configured, metrics),
            parts.lines,
            drain_seconds=configured.drain_timeout,
        ) as listener:
            _tell_how_it_serves(configured, tls)
            work = {
                **parts.background.by_name(),
                "files": _reloading(parts, tls, reload, listener, manager),
                "watchdog": manager.keep_pinging,
                "status": lambda: manager.keep_telling(parts.health.status),
            }
            beside = [supervisor.keep(name, each) for name, each in work.items()]
            manager.tell_ready()
            _log.info("stopping", signal=await wait_for_stop())
            manager.tell_stopping()
            await end_tasks(*beside)
            await parts.logins.last_uses.look()
        await parts.background.finish()
    _log.info("stopped")


def _reloading(
    parts: ServingParts,
    tls: ReloadedTls | None,
    reload: asyncio.Event,
    listener: Listener,
    manager: ServiceManager,
) -> Endless:
    """Return what reads files again that change, and tells of troubles."""
    told, webhooks = ToldTroubles(), parts.background.webhooks
    return lambda: keep_reloading(
        tls,
        reload,
        listener.present,
        lambda: told.tell(parts.health.troubles()),
        manager.reloading,
        [webhooks.look] if webhooks else [],
    )


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


def _raise_file_limit() -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
