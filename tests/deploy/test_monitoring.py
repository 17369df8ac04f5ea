"""A real Prometheus scrapes both processes under load, with the rules; Alertmanager calls."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
import uvloop
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from control_plane.http.tls_reload import ReloadedTls
from control_plane.metrics import ControlPlaneMetrics
from control_plane.webhooks.webhook_metrics import WebhookMetrics
from deploy.dev.device_ca import CertificateFiles
from deploy.dev.postgres import Postgres
from deploy.dev.processes import free_port
from facade.devices.handshake_end import HandshakeEnd
from facade.metrics.problems import FacadePart
from facade.metrics.upstream_outcomes import RequestOutcome, TokenFailure
from tests.support.both_processes import start_control_plane, start_facade_of
from tests.support.control_plane import ControlPlane, approved_connection
from tests.support.eventually import eventually
from tests.support.facade_database import DatabaseTemplate, FacadeDatabase
from tests.support.facade_process import Facade
from tests.support.facade_states import CANARY_TOKEN, USERNAME, pull_path
from tests.support.prometheus import Json, Prometheus, Scraped, start_alertmanager
from tests.support.rules import RULES, named_in, of_dashboards, recorded, rules, selectors
from tests.support.simulators.behaviour import Answers, OtherBytes
from tests.support.simulators.login import BasicLogin
from tests.support.simulators.registry import RegistrySimulator

BLOB: Final = 300_000
SCRAPES: Final = 5  # of each process, while devices pull
WEBHOOK: Final = "/alerts"

# Labels of which a series is there only once something happened: what they may say.
MAY_SAY: Final = {
    ("facade_upstream_requests_total", "outcome"): {*RequestOutcome},
    ("facade_token_failures_total", "reason"): {*TokenFailure},
    ("facade_device_handshakes_refused_total", "reason"): {*HandshakeEnd},
    ("facade_problem", "part"): {*FacadePart},
    ("facade_not_asked_total", "reason"): {"wrong_bytes"},  # the chain below has it
}
SCRAPED_BY_PROMETHEUS: Final = {"up"}


@pytest.fixture(scope="module")
def database(database_template: DatabaseTemplate) -> FacadeDatabase:
    """The module's database."""
    return database_template.copy()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all of them write."""
    return tmp_path_factory.mktemp("monitoring")


@pytest.fixture(scope="module")
def plane(postgres: Postgres, database: FacadeDatabase, folder: Path) -> Iterator[ControlPlane]:
    """A control plane with alice, bob, root and eve, who may see its metrics."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        started = runner.run(start_control_plane(postgres, database, folder))
    yield started
    started.stop()


@pytest.fixture(scope="module")
def facade(plane: ControlPlane, database: FacadeDatabase, folder: Path) -> Iterator[Facade]:
    """A facade with a store."""
    settings = {
        "FACADE_CACHE_DIR": str(folder / "cache"),
        "FACADE_CACHE_MAX_BYTES": "64MiB",
    }
    running = start_facade_of(plane, database, folder / "facade", settings)
    yield running
    running.child.kill()


@pytest.fixture(scope="module")
def webhook_port() -> int:
    """Where Alertmanager calls."""
    return free_port()


@pytest.fixture(scope="module")
def prometheus(
    plane: ControlPlane, facade: Facade, folder: Path, webhook_port: int
) -> Iterator[Prometheus]:
    """Prometheus with the rules as they are, and Alertmanager behind it."""
    alertmanager, address = start_alertmanager(folder, f"http://127.0.0.1:{webhook_port}{WEBHOOK}")
    jobs = {
        "facade": Scraped(f"127.0.0.1:{facade.operations_port}"),
        "control-plane": Scraped(f"127.0.0.1:{plane.port}", plane.tokens["eve"]),
    }
    running = Prometheus.start(folder, jobs, RULES, address)
    yield running
    running.child.stop()
    alertmanager.stop()


@asynccontextmanager
async def connected(plane: ControlPlane, facade: Facade) -> AsyncIterator[RegistrySimulator]:
    """Give a registry that is connected and approved, once the facade serves it."""
    async with RegistrySimulator(login=BasicLogin(USERNAME, CANARY_TOKEN)) as upstream:
        await approved_connection(
            plane, str(upstream.host), username=USERNAME, token=CANARY_TOKEN, plain_http=True
        )
        manifest = upstream.manifest(b"{}")
        device = facade.device()

        async def is_served() -> bool:
            path = pull_path(upstream, manifest, kind="manifests")
            return (await device.get(path)).status != web.HTTPNotFound.status_code

        await eventually(is_served)
        yield upstream


async def pull_everything(facade: Facade, upstream: RegistrySimulator, number: int) -> None:
    """Have devices pull: what is new, what is stored, what is missing, and what they may not."""
    device, other = facade.device(), facade.device()
    digest = upstream.blob(number.to_bytes(4, "big") + bytes(BLOB))
    for each in (device, other, device):
        assert (await each.get(pull_path(upstream, digest))).status == web.HTTPOk.status_code
    missing = "sha256:" + f"{number:064x}"
    nothing = await device.get(pull_path(upstream, missing))
    assert nothing.status == web.HTTPNotFound.status_code
    nobody = await device.get(f"/v2/not.connected.example/team/app/blobs/{digest}")
    assert nobody.status == web.HTTPNotFound.status_code


async def scraped_under_load(
    prometheus: Prometheus, facade: Facade, upstream: RegistrySimulator
) -> None:
    """Pull until both were scraped often enough, and the rules have judged what they saw."""
    number = 0
    broken = upstream.blob(b"broken", get=Answers(web.HTTPInternalServerError.status_code))
    failed = await facade.device().get(pull_path(upstream, broken))
    assert failed.status >= web.HTTPInternalServerError.status_code

    async def is_enough() -> bool:
        nonlocal number
        number += 1
        await pull_everything(facade, upstream, number)
        counts = await prometheus.query("count_over_time(up[5m])")
        judged = await prometheus.query("facade:pulls_hit:ratio1h > 0")
        scraped = [float(each["value"][1]) for each in counts]
        return len(scraped) == len(("facade", "control-plane")) and (
            min(scraped) >= SCRAPES and bool(judged)
        )

    await eventually(is_enough)


def exposed(*texts: str) -> dict[str, dict[str, set[str]]]:
    """Return what processes show: every sample's name, with the values of its labels.

    A metric of which there is no sample yet has its names all the same.
    """
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for text in texts:
        for family in text_string_to_metric_families(text):
            endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
            for ending in endings.get(family.type, [""]):
                _ = found[f"{family.name}{ending}"]
            for sample in family.samples:
                for label, value in sample.labels.items():
                    found[sample.name][label].add(value)
    return found


def unknown(expressions: list[str], shown: dict[str, dict[str, set[str]]]) -> list[str]:
    """Return what expressions name and no process shows: metrics, labels, values of labels."""
    wrong = []
    for expression in expressions:
        for selector in selectors(expression):
            name = selector.name
            if name in recorded() | SCRAPED_BY_PROMETHEUS:
                continue
            if name not in shown:
                wrong.append(f"{name}: no such metric")
                continue
            for matcher in selector.matchers.matchers:
                if matcher.name in ("namespace", "job", "instance"):
                    continue  # Prometheus' own
                values = MAY_SAY.get((name, matcher.name), shown[name][matcher.name])
                said = set(matcher.value.split("|")) - {str(value) for value in values}
                wrong += [f"{name}{{{matcher.name}}}: {each}" for each in said]
    return wrong


async def test_every_expression_is_answered_by_what_was_scraped_under_load(
    plane: ControlPlane,
    facade: Facade,
    prometheus: Prometheus,
    server_certificate: CertificateFiles,
) -> None:
    """Of rules and dashboards; none names a metric, or a label's value, that nobody shows."""
    async with connected(plane, facade) as upstream:
        await scraped_under_load(prometheus, facade, upstream)
    of_facade = facade.operations("/metrics")[1]
    of_plane = (await plane.client("eve").call("GET", "/metrics")).body.decode()
    assert CANARY_TOKEN not in of_facade + of_plane
    shown = exposed(
        of_facade,
        of_plane,
        shown_with_tls(server_certificate),
        shown_with_webhooks(),
    )
    of_rules = [rule["expr"] for rule in rules()]
    expressions = [*of_rules, *of_dashboards()]
    assert unknown(expressions, shown) == []
    for expression in expressions:
        await prometheus.query(expression)
    assert recorded() <= await prometheus.names()
    assert await prometheus.firing() == set()


def shown_with_tls(files: CertificateFiles) -> str:
    """Return what a control plane shows that speaks TLS by itself; the one here does not."""
    metrics = ControlPlaneMetrics()
    tls = ReloadedTls.load(files.certificate, files.key)
    assert tls
    metrics.watch_certificate(tls)
    return metrics.exposition().decode()


def shown_with_webhooks() -> str:
    """Return what a control plane shows that has a target of webhooks; the one here has none."""
    registry = CollectorRegistry()
    WebhookMetrics(registry).begin("pager")
    return generate_latest(registry).decode()


async def test_the_numbers_of_a_dashboard_are_those_of_the_traffic(
    prometheus: Prometheus,
) -> None:
    """Devices got each blob three times, and the registry sent it once."""
    (saved,) = await prometheus.query("facade:bytes_saved:ratio1h")
    (hits,) = await prometheus.query("facade:pulls_hit:ratio1h")
    assert 0.5 < float(saved["value"][1]) < 0.8
    assert 0.4 < float(hits["value"][1]) < 0.8


def test_a_name_that_nobody_shows_is_found() -> None:
    """A check that finds nothing would prove nothing."""
    shown = exposed('# TYPE facade_pulls counter\nfacade_pulls_total{outcome="served"} 1\n')
    right = 'rate(facade_pulls_total{outcome="served"}[5m])'
    wrong = ['facade_pulls_total{outcome="servd"}', "facade_pull_total", "sum(facade_pulls)"]
    assert unknown([right], shown) == []
    assert [each for each in wrong if unknown([each], shown)] == wrong


@asynccontextmanager
async def webhook(port: int) -> AsyncIterator[list[Json]]:
    """Give the list of the alerts that somebody was called for."""
    called: list[Json] = []

    async def take(request: web.Request) -> web.Response:
        called.extend((await request.json())["alerts"])
        return web.Response()

    application = web.Application()
    application.router.add_post(WEBHOOK, take)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield called
    finally:
        await runner.cleanup()


@pytest.mark.usefixtures("prometheus")
async def test_somebody_is_called_when_a_registry_sends_wrong_bytes(
    plane: ControlPlane, facade: Facade, webhook_port: int
) -> None:
    """The whole chain: fault, counter, rule, Alertmanager, webhook; with where to read on."""
    async with connected(plane, facade) as upstream, webhook(webhook_port) as called:
        digest = upstream.blob(b"wrong" + bytes(BLOB), get=OtherBytes())
        device = facade.device()

        async def is_held_back() -> bool:
            answer = await device.get(pull_path(upstream, digest, kind="blobs"), method="HEAD")
            await device.raw(
                f"GET {pull_path(upstream, digest)} HTTP/1.1\r\nHost: localhost\r\n"
                "Connection: close\r\n\r\n".encode()
            )
            return answer.status >= web.HTTPBadGateway.status_code

        await eventually(is_held_back)
        await eventually(lambda: bool(called))
    (alert, *_) = called
    assert alert["status"] == "firing"
    assert alert["labels"]["alertname"] == "FacadeWrongBytes"
    assert alert["annotations"]["runbook_url"] == "docs/runbooks.md#facadewrongbytes"
    assert alert["annotations"]["summary"]
    assert CANARY_TOKEN not in str(called)


def test_every_name_of_an_expression_is_looked_for() -> None:
    """The parser sees names within functions, ranges and offsets, too."""
    expression = "sum(rate(a_total[5m] offset 1h)) / (b unless on (x) c > 0)"
    assert named_in(expression) == {"a_total", "b", "c"}
