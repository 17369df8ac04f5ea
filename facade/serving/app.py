"""The facade as a whole: everything is made here, started in order, and stopped in reverse."""

import asyncio
import resource
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from facade.approvals.snapshot import Snapshot
from facade.devices.connection_limits import ConnectionLimits
from facade.devices.live_connections import LiveConnections
from facade.loop.garbage_rounds import GarbageRounds
from facade.loop.loop_lag import LoopLag
from facade.loop.thread_work import in_access_thread
from facade.metrics.metrics import FacadeMetrics
from facade.pulls.gate import Gate
from facade.serving.change_effects import ChangeEffects
from facade.serving.config import FacadeSettings
from facade.serving.device_endpoint import Reloading, serve_devices
from facade.serving.device_standing import device_problems
from facade.serving.end_in_time import end_in_time
from facade.serving.health import Readiness, operations_app
from facade.serving.open_content import KnownApprovals, open_content
from facade.serving.open_feed import following, open_feed
from facade.serving.open_pulls import open_pulls
from facade.serving.open_registries import open_registries
from facade.serving.operations_endpoint import serve_operations
from facade.serving.servable import Servable
from facade.serving.startup_files import StartupFiles
from shared.service_manager import ServiceManager
from shared.stopping import end_tasks
from shared.supervised import Supervisor


async def serve(
    settings: FacadeSettings, stop: asyncio.Event, reload: asyncio.Event, manager: ServiceManager
) -> None:
    """Serve until told to stop, then let running pulls finish within the drain timeout.

    Files that have changed are read again; at once if `reload` is set.

    Raises `TlsConfigurationError`, `UnusableProfilesError`, `InvalidKeyFileError`,
    `StateFileError` or `StartError` before the first device is let in.
    """
    files = await in_access_thread(StartupFiles.read, settings)
    snapshot, metrics = Snapshot(), FacadeMetrics.create()
    supervisor = Supervisor(lambda work: metrics.background_failures.labels(work).inc())
    supervisor.watch(asyncio.get_running_loop())
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = ConnectionLimits.of_descriptors(
        descriptors, settings.max_connections, settings.max_connections_per_device
    )
    live = LiveConnections(files.tls.trust, metrics.devices, limits)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        stack.enter_context(GarbageRounds())
        loop_lag = stack.enter_context(LoopLag())
        registries = await enter(
            open_registries(settings, files.sealing_keys, metrics, descriptors)
        )
        effects = ChangeEffects(snapshot, registries.upstreams, registries.work, live)
        feed = await enter(
            open_feed(
                settings, files.statement_keys, snapshot, effects, metrics.approvals, supervisor
            )
        )
        servable = Servable(snapshot, files.sealing_keys, registries.openings, registries.refused)
        readiness = Readiness(
            feed,
            settings.snapshot_max_age,
            servable,
            lambda: device_problems(files, live, any_trust_domain=settings.takes_any_trust_domain),
            supervisor,
        )
        operations = operations_app(readiness, metrics, snapshot, loop_lag)
        await enter(serve_operations(operations, settings.operations_listen))
        await feed.restore()  # takes long if there is much: meanwhile alive, not ready
        approvals = KnownApprovals.of(snapshot, feed, effects.connections_changed)
        content = await enter(
            open_content(settings, registries.upstreams, approvals, metrics.store, supervisor)
        )
        servable.count_on_store(content.stores_some)
        gate = Gate(snapshot, readiness.staleness)
        devices = await enter(
            open_pulls(settings, gate, registries, content, metrics, files.identification, live)
        )
        # Also while it waits for running pulls, because a revocation must take effect even then.
        await enter(following(feed, supervisor))
        reloading = Reloading(reload, feed.look_again, supervisor, manager)
        await enter(serve_devices(devices, settings, files, readiness, metrics.devices, reloading))
        await enter(_told(manager, readiness, supervisor))
        await stop.wait()
        manager.tell_stopping()
        end_in_time(settings.drain_timeout)


@asynccontextmanager
async def _told(
    manager: ServiceManager, readiness: Readiness, supervisor: Supervisor
) -> AsyncIterator[None]:
    """Tell the service manager that devices are let in, and from then on what is wrong."""

    async def status() -> str:
        problem = readiness.problem()
        return f"not ready: {problem}" if problem else f"ready: {readiness.standing()}"

    manager.tell_ready()
    tasks = [
        supervisor.keep("watchdog", manager.keep_pinging),
        supervisor.keep("status", lambda: manager.keep_telling(status)),
    ]
    try:
        yield
    finally:
        await end_tasks(*tasks)
