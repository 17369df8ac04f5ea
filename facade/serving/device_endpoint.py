"""The device address, from its opening to its end: listening, reloading files, draining."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

from attrs import frozen

from facade.devices.device_listener import DeviceListener, listening_socket
from facade.devices.device_server import DeviceServer
from facade.devices.pulls_under_way import NEXT_REQUEST_SECONDS, DrainStage
from facade.devices.reload import keep_reloading
from facade.errors import StartError
from facade.metrics.device_metrics import DeviceMetrics, WhichCertificate
from facade.serving.config import FacadeSettings
from facade.serving.health import Door, Readiness
from facade.serving.startup_files import StartupFiles
from shared.listen_failure import why_not_listening
from shared.service_manager import ServiceManager
from shared.stopping import end_tasks
from shared.structured_log import get_logger
from shared.supervised import Supervisor

FILES: Final = "files"  # the name of this work, for whoever supervises it
LOOK_SECONDS: Final = 0.1  # between two looks whether pulls have ended; a restart waits
_log = get_logger("facade")


@frozen
class Reloading:
    """How files are read again while devices are served."""

    at_once: asyncio.Event
    look_again: Callable[[], None]  # compares all statements again, with other keys
    supervisor: Supervisor
    manager: ServiceManager  # for whoever sent SIGHUP and waits for an answer


@asynccontextmanager
async def serve_devices(
    devices: DeviceServer,
    settings: FacadeSettings,
    files: StartupFiles,
    readiness: Readiness,
    metrics: DeviceMetrics,
    reloading: Reloading,
) -> AsyncIterator[None]:
    """Let devices in. At the end, serve those that are in until their pulls are done."""
    try:
        socket = listening_socket(settings.listen, reuse_port=settings.reuse_port)
    except OSError as error:
        raise StartError(
            f"FACADE_LISTEN cannot be listened on: {why_not_listening(error)}"
        ) from error
    listener = DeviceListener(socket, devices, metrics, files.tls.context)

    def look_at_clock() -> None:
        devices.live.cut_refused()
        _show_trust(devices, metrics)
        _show_certificate(files, metrics)
        readiness.tell()

    look_at_clock()
    files.tell_of_unused_lists()
    reloaded = files.reloaded(listener, devices.live, metrics, reloading.look_again)
    task = reloading.supervisor.keep(
        FILES,
        lambda: keep_reloading(
            reloaded, reloading.at_once, look_at_clock, reloading.manager.reloading
        ),
    )
    listener.start()
    readiness.door_is(Door.OPEN)
    _log.info("listening", listen=settings.listen)
    try:
        yield
    finally:
        readiness.door_is(Door.CLOSING)
        await _drain(listener, devices, settings)
        await end_tasks(task)
        _log.info("stopped")


async def _drain(listener: DeviceListener, devices: DeviceServer, settings: FacadeSettings) -> None:
    """Go on for the delay, then let nobody in and wait for pulls. Cut what takes too long.

    Nobody who is in is refused: a client that connects again meets another facade, and one that is
    told 503 may take that for final.
    """
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + settings.drain_timeout
    _log.info("draining", count=len(devices.connections))
    devices.pulls.advance(DrainStage.LEAVING)
    await asyncio.sleep(settings.drain_delay)
    devices.pulls.advance(DrainStage.FINISHING)
    listener.close()
    handshakes_until = min(ends_at, loop.time() + NEXT_REQUEST_SECONDS)
    while (devices.pulls.has_any() and loop.time() < ends_at) or (
        listener.is_shaking_hands and loop.time() < handshakes_until
    ):
        devices.pulls.finish_others()
        await asyncio.sleep(LOOK_SECONDS)
    devices.pulls.advance(DrainStage.OVER)
    listener.stop()
    await devices.shut_down(max(LOOK_SECONDS, ends_at - loop.time()))


def _show_trust(devices: DeviceServer, metrics: DeviceMetrics) -> None:
    """Show when CRLs and CAs end, so that it is seen days before."""
    now = datetime.now(UTC)
    metrics.ca_expires_in.clear()
    ends = devices.live.trust.ends()
    for issuer, end in ends.items():
        metrics.ca_expires_in.labels(issuer).set((end - now).total_seconds())
    if ends:
        first = min(ends.values()).timestamp()
        metrics.expiry.labels(WhichCertificate.DEVICE_CA).set(first)
    metrics.crl_next_update.clear()
    metrics.crl_expires_in.clear()
    for issuer, next_update in devices.live.trust.next_updates().items():
        metrics.crl_next_update.labels(issuer).set(next_update.timestamp() if next_update else 0)
        left = (next_update - now).total_seconds() if next_update else 0
        metrics.crl_expires_in.labels(issuer).set(left)


def _show_certificate(files: StartupFiles, metrics: DeviceMetrics) -> None:
    ends, now = files.tls.certificate.ends, datetime.now(UTC)
    metrics.certificate_ends.set(ends.timestamp())
    metrics.expiry.labels(WhichCertificate.SERVER).set(ends.timestamp())
    metrics.certificate_expires_in.set((ends - now).total_seconds())
