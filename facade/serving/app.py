"""The facade as a whole: everything is made here, started in order, and stopped in reverse."""

import asyncio
import resource
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import web

from facade.approvals.feed_state import FeedState
from facade.approvals.remembering import Remembering
from facade.approvals.snapshot import Change, RowOutcome, Snapshot
from facade.approvals.state_file import StateFile
from facade.approvals.statement_feed import STATEMENTS, VERIFICATION, StatementFeed
from facade.content.referrers import Referrers
from facade.devices.connection_limits import ConnectionLimits
from facade.devices.device_server import DeviceServer
from facade.devices.live_connections import LiveConnections
from facade.errors import StartError
from facade.loop.garbage_rounds import GarbageRounds
from facade.loop.loop_lag import LoopLag
from facade.loop.thread_work import in_access_thread
from facade.metrics.metrics import FacadeMetrics
from facade.pulls.answers_at_once import AnswersAtOnce
from facade.pulls.device_requests import DeviceRequests
from facade.pulls.gate import Gate
from facade.pulls.held_manifests import HeldManifests
from facade.pulls.pull_handler import PullHandler
from facade.pulls.pull_slots import PullSlots
from facade.pulls.referrers_answers import ReferrersAnswers
from facade.pulls.remembered_requests import RememberedRequests
from facade.pulls.request_log import RequestLog
from facade.registries.bandwidth import Bandwidth
from facade.registries.connection_work import ConnectionWork
from facade.registries.payer import Payers
from facade.registries.providers import open_providers
from facade.registries.refused_credentials import RefusedCredentials
from facade.registries.secret_openings import SecretOpenings
from facade.registries.unsealer import Unsealer
from facade.registries.upstream_connector import UpstreamConnector
from facade.registries.upstreams import Upstreams
from facade.serving.change_effects import GENERATIONS_PER_SECOND, ChangeEffects
from facade.serving.config import FacadeSettings
from facade.serving.device_endpoint import Reloading, serve_devices
from facade.serving.device_standing import device_problems
from facade.serving.end_in_time import end_in_time
from facade.serving.health import Readiness, operations_app
from facade.serving.open_content import KnownApprovals, open_content
from facade.serving.servable import Servable
from facade.serving.startup_files import StartupFiles
from shared.listen_failure import why_not_listening
from shared.service_manager import ServiceManager
from shared.setting_types import ListenAddress
from shared.stopping import end_tasks
from shared.supervised import Supervisor
from shared.upstream.kept_connections import KeptConnections
from shared.upstream.transport import TransportMeans


async def serve(
    settings: FacadeSettings, stop: asyncio.Event, reload: asyncio.Event, manager: ServiceManager
) -> None:
    """Serve until told to stop, then let running pulls finish within the drain timeout.

    Files that have changed are read again; at once if `reload` is set.

    Raises `TlsConfigurationError`, `UnusableProfilesError`, `InvalidKeyFileError`,
    `StateFileError` or `StartError` before the first device is let in.
    """
    files = await in_access_thread(StartupFiles.read, settings)
    opener, openings, refused = Unsealer(files.sealing_keys), SecretOpenings(), RefusedCredentials()
    snapshot, metrics = Snapshot(), FacadeMetrics.create()
    supervisor = Supervisor(lambda work: metrics.background_failures.labels(work).inc())
    supervisor.watch(asyncio.get_running_loop())
    live = LiveConnections(files.tls.trust, metrics.devices, _connection_limits(settings))
    connections_changed = asyncio.Event()
    async with AsyncExitStack() as stack:
        means = TransportMeans(kept=KeptConnections.of_descriptors(_descriptors()))
        providers = await stack.enter_async_context(
            open_providers(
                opener,
                means.tls,
                aws_endpoint_url=settings.aws_endpoint_url,
                google_token_url=settings.google_token_url,
                proxy=settings.outbound_proxy,
            )
        )
        connector = UpstreamConnector(
            providers,
            metrics,
            allow_loopback=settings.allow_loopback,
            means=means,
            proxy=settings.outbound_proxy,
            timeouts=settings.upstream_timeouts,
            bandwidth=Bandwidth.of(settings.upstream_bandwidth),
            remember_missing=settings.remember_missing,
            spare_streams=settings.upstream_streams,
            openings=openings,
            refused=refused,
        )
        stack.enter_context(GarbageRounds())
        work = ConnectionWork()
        upstreams = Upstreams(connector.connect, work)
        metrics.open_upstreams.set_function(lambda: upstreams.open)
        stack.push_async_callback(upstreams.close)
        feed = await stack.enter_async_context(
            _feed(
                settings,
                files,
                snapshot,
                ChangeEffects(snapshot, upstreams, work, live, connections_changed),
                metrics,
                supervisor,
            )
        )
        readiness = Readiness(
            feed,
            settings.snapshot_max_age,
            Servable(snapshot, files.sealing_keys, openings, refused),
            lambda: device_problems(files, live, any_trust_domain=settings.takes_any_trust_domain),
            supervisor,
        )
        operations = operations_app(readiness, metrics, snapshot, stack.enter_context(LoopLag()))
        await stack.enter_async_context(_operations(operations, settings.operations_listen))
        await feed.restore()  # takes long if there is much: meanwhile alive, not ready
        approvals = KnownApprovals(
            snapshot.access_keys,
            # With a wrong statement key nothing would be approved, and every right would end for
            # good. So would the rights of what is not verified yet.
            lambda: (
                feed.state is FeedState.FOLLOWING
                and not snapshot.refused_rows.lacks_key
                and snapshot.is_settled
            ),
            connections_changed,
        )
        content = await stack.enter_async_context(
            open_content(settings, upstreams, approvals, metrics.store, supervisor)
        )
        referrers = Referrers(content, metrics.pulls)
        stack.push_async_callback(referrers.close)
        readiness.servable.stores_some = content.stores_some
        gate, request_log = (
            Gate(snapshot, readiness.staleness),
            RequestLog(metrics, settings.log_sample_hits),
        )
        slots = PullSlots(settings.max_connections_per_device)
        payers = Payers.within(settings.cost_limits, settings.spending_limits)
        held = HeldManifests()
        remembered = RememberedRequests()
        requests = DeviceRequests(settings.device_requests_per_second)
        devices = DeviceServer(
            PullHandler(
                gate,
                upstreams,
                work,
                content,
                payers,
                slots,
                metrics,
                request_log,
                remembered,
                requests,
                held,
                ReferrersAnswers(gate, upstreams, work, referrers, payers, slots, held, metrics),
            ),
            files.identification,
            live,
            answer_at_once=AnswersAtOnce(
                remembered, gate, slots, content, request_log, metrics, requests, work
            ),
            max_age_seconds=settings.max_connection_age,
        )
        # Also while it waits for running pulls, because a revocation must take effect even then.
        await stack.enter_async_context(_following(feed, supervisor))
        reloading = Reloading(reload, feed.look_again, supervisor, manager)
        await stack.enter_async_context(
            serve_devices(devices, settings, files, readiness, metrics.devices, reloading)
        )
        await stack.enter_async_context(_told(manager, readiness, supervisor))
        await stop.wait()
        manager.tell_stopping()
        end_in_time(settings.drain_timeout)


@asynccontextmanager
async def _feed(
    settings: FacadeSettings,
    files: StartupFiles,
    snapshot: Snapshot,
    effects: ChangeEffects,
    metrics: FacadeMetrics,
    supervisor: Supervisor,
) -> AsyncIterator[StatementFeed]:
    def on_change(change: Change) -> None:
        if change.outcome is not RowOutcome.ACCEPTED:
            metrics.approvals.statements_refused.inc()
        elif feed.state.was_read and change.generation is not None:  # the first read finds old ones
            lag = time.time() - change.generation / GENERATIONS_PER_SECOND
            metrics.approvals.statement_lag.observe(max(0.0, lag))
        if not change.is_strangers:
            effects.apply(change)

    state_file = await in_access_thread(StateFile.open, settings.state_dir)
    try:
        feed = StatementFeed(
            settings.database_url,
            files.statement_keys,
            snapshot,
            Remembering(state_file, snapshot),
            settings.poll_interval,
            on_change,
            supervisor,
        )
        yield feed
    finally:
        await in_access_thread(state_file.close)


@asynccontextmanager
async def _following(feed: StatementFeed, supervisor: Supervisor) -> AsyncIterator[None]:
    tasks = [
        supervisor.keep(STATEMENTS, feed.run),
        supervisor.keep(VERIFICATION, feed.verify_rest),
    ]
    try:
        yield
    finally:
        await end_tasks(*tasks)


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


@asynccontextmanager
async def _operations(app: web.Application, listen: ListenAddress) -> AsyncIterator[None]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, listen.host, listen.port).start()
    except OSError as error:
        await runner.cleanup()
        raise StartError(
            f"FACADE_OPERATIONS_LISTEN cannot be listened on: {why_not_listening(error)}"
        ) from error
    try:
        yield
    finally:
        await runner.cleanup()


def _connection_limits(settings: FacadeSettings) -> ConnectionLimits:
    return ConnectionLimits.of_descriptors(
        _descriptors(), settings.max_connections, settings.max_connections_per_device
    )


def _descriptors() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
