"""Opens what answers devices: one handler for every request, and the short way around it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from facade.content.referrers import Referrers
from facade.content.source import Content
from facade.devices.device_server import DeviceServer
from facade.devices.live_connections import LiveConnections
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
from facade.registries.payer import Payers
from facade.serving.config import FacadeSettings
from facade.serving.open_registries import OpenRegistries
from facade.values.device_identity import Identification


@asynccontextmanager
async def open_pulls(
    settings: FacadeSettings,
    gate: Gate,
    registries: OpenRegistries,
    content: Content,
    metrics: FacadeMetrics,
    identification: Identification,
    live: LiveConnections,
) -> AsyncIterator[DeviceServer]:
    """Give what serves the connections of devices. It answers whatever `gate` lets through."""
    upstreams, work = registries.upstreams, registries.work
    referrers = Referrers(content, metrics.pulls)
    request_log = RequestLog(metrics, settings.log_sample_hits)
    slots = PullSlots(settings.max_connections_per_device)
    payers = Payers.within(settings.cost_limits, settings.spending_limits)
    held, remembered = HeldManifests(), RememberedRequests()
    requests = DeviceRequests(settings.device_requests_per_second)
    handler = PullHandler(
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
    )
    at_once = AnswersAtOnce(remembered, gate, slots, content, request_log, metrics, requests, work)
    try:
        yield DeviceServer(
            handler,
            identification,
            live,
            answer_at_once=at_once,
            max_age_seconds=settings.max_connection_age,
        )
    finally:
        await referrers.close()
