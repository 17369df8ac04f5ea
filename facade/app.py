"""The facade as a whole: everything is made here, started in order, and stopped in reverse."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final
from uuid import UUID

from aiohttp import web

from facade.bandwidth import Bandwidth
from facade.config import FacadeSettings
from facade.device_connection import DeviceServer
from facade.device_identity import IdentityRule, compile_uri_pattern
from facade.health import Readiness, operations_app
from facade.loop_lag import LoopLag
from facade.metrics import Metrics
from facade.open_content import Approvals, open_content
from facade.opener import Opener
from facade.payer import Payers
from facade.providers import open_providers
from facade.pull_handler import PullHandler
from facade.remembering import Remembering
from facade.snapshot import Change, Outcome, Snapshot
from facade.state_file import StateFile
from facade.statement_feed import StatementFeed
from facade.tls import HANDSHAKE_TIMEOUT_SECONDS, server_context
from facade.upstream_connector import UpstreamConnector
from facade.upstreams import Upstreams
from shared.keys import load_sealing_private_keys, load_statement_public_keys
from shared.setting_types import ListenAddress
from shared.structured_log import get_logger

LISTEN_BACKLOG: Final = 1024  # a fleet that reconnects at once; the kernel caps it at somaxconn
_CONNECTION: Final = "connection"
_log = get_logger("facade")


class StartError(Exception):
    """The facade cannot start; the message says why and names the setting."""


async def serve(settings: FacadeSettings, stop: asyncio.Event) -> None:
    """Serve until told to stop, then let running pulls finish within the drain timeout.

    Raises `TlsConfigurationError`, `InvalidKeyFileError`, `StateFileError` or `StartError`
    before the first device is let in.
    """
    tls = server_context(
        certificate=settings.tls_cert_file,
        key=settings.tls_key_file,
        device_ca=settings.device_ca_file,
        minimum=settings.tls_minimum,
    )
    opener = Opener(load_sealing_private_keys(settings.sealing_private_key_file.read_bytes()))
    snapshot, metrics = Snapshot(), Metrics.create()
    connections_changed = asyncio.Event()
    async with AsyncExitStack() as stack:
        providers = await stack.enter_async_context(open_providers(settings, opener))
        connector = UpstreamConnector(
            providers,
            metrics,
            allow_loopback=settings.allow_loopback,
            proxy=settings.outbound_proxy,
            timeouts=settings.upstream_timeouts,
            bandwidth=Bandwidth.of(settings.upstream_bandwidth),
            remember_missing=settings.remember_missing,
        )
        upstreams = Upstreams(connector.connect)
        stack.push_async_callback(upstreams.close)
        feed = await stack.enter_async_context(
            _feed(settings, snapshot, upstreams, metrics, connections_changed)
        )
        readiness = Readiness(feed, settings.snapshot_max_age)
        operations = operations_app(readiness, metrics, snapshot, stack.enter_context(LoopLag()))
        await stack.enter_async_context(_operations(operations, settings.operations_listen))
        await feed.restore()  # takes as long as there is much to verify: alive, and not ready
        approvals = Approvals(
            snapshot.access_keys, lambda: feed.problem is None, connections_changed
        )
        content = await stack.enter_async_context(
            open_content(settings, upstreams, approvals, metrics.store)
        )
        payers = Payers.within(settings.cost_limits)
        devices = DeviceServer(
            PullHandler(snapshot, upstreams, content, payers, metrics, readiness.staleness),
            IdentityRule(
                settings.device_identity, compile_uri_pattern(settings.device_uri_pattern)
            ),
        )
        async with _following(feed) as following:
            await stack.enter_async_context(_devices(devices, settings, tls, readiness))
            await _until_stopped(stop, following)


@asynccontextmanager
async def _feed(
    settings: FacadeSettings,
    snapshot: Snapshot,
    upstreams: Upstreams,
    metrics: Metrics,
    connections_changed: asyncio.Event,
) -> AsyncIterator[StatementFeed]:
    def on_change(change: Change) -> None:
        if change.outcome is not Outcome.ACCEPTED:
            metrics.statements_refused.inc()
        kind, _, identifier = change.subject.partition("/")
        if kind == _CONNECTION and _is_uuid(identifier):
            upstreams.retire(UUID(identifier), serving=snapshot.serving(change.subject))
            connections_changed.set()

    statement_keys = load_statement_public_keys(settings.statement_public_key_file.read_bytes())
    state_file = await asyncio.to_thread(StateFile.open, settings.state_dir)
    try:
        feed = StatementFeed(
            settings.database_url,
            statement_keys,
            snapshot,
            Remembering(state_file, snapshot),
            settings.poll_interval,
            on_change,
        )
        yield feed
    finally:
        await asyncio.to_thread(state_file.close)


@asynccontextmanager
async def _following(feed: StatementFeed) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(feed.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


@asynccontextmanager
async def _operations(app: web.Application, listen: ListenAddress) -> AsyncIterator[None]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, listen.host, listen.port).start()
    except OSError as error:
        await runner.cleanup()
        message = f"FACADE_OPERATIONS_LISTEN cannot be listened on: {error.strerror}"
        raise StartError(message) from error
    try:
        yield
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _devices(
    devices: DeviceServer, settings: FacadeSettings, tls: ssl.SSLContext, readiness: Readiness
) -> AsyncIterator[None]:
    """Let devices in; on the way out let none in any more, and wait for the running pulls."""
    listening = _listening_socket(settings.listen, reuse_port=settings.reuse_port)
    server = await asyncio.get_running_loop().create_server(
        devices,
        sock=listening,
        ssl=tls,
        ssl_handshake_timeout=HANDSHAKE_TIMEOUT_SECONDS,
        backlog=LISTEN_BACKLOG,
    )
    _log.info("listening", listen=settings.listen)
    try:
        yield
    finally:
        readiness.draining = True
        server.close()
        devices.pre_shutdown()
        _log.info("draining", count=len(devices.connections))
        await devices.shutdown(settings.drain_timeout)
        _log.info("stopped")


def _listening_socket(listen: ListenAddress, *, reuse_port: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    try:
        return socket.create_server(
            (listen.host, listen.port),
            family=family,
            backlog=LISTEN_BACKLOG,
            reuse_port=reuse_port,
        )
    except OSError as error:
        message = f"FACADE_LISTEN cannot be listened on: {error.strerror}"
        raise StartError(message) from error


async def _until_stopped(stop: asyncio.Event, following: asyncio.Task[None]) -> None:
    """Return when told to stop; raise what ended the feed, for without it nothing is known."""
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([stopping, following], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if following.done():
        following.result()


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
