"""Each request is told of once, in the log and in the metrics, with plain numbers and known words.

In a process of its own: how a process logs is configured once.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from facade.pulls.request_log import RequestRecord
from tests.support.facade_process import READY_SECONDS

PROGRAM = """
import asyncio
from datetime import UTC, datetime
from uuid import UUID
from facade.values.device_identity import DeviceIdentity
from facade.metrics.metrics import FacadeMetrics
from facade.metrics.pull_metrics import PullSource
from facade.devices.presented_device import PresentedDevice
from facade.values.authority import Authority
from facade.answers.distribution_errors import DeviceRefusal
from facade.pulls.request_log import RequestRecord, RequestLog, RefusedDevice
from facade.pulls.known_pull import KnownPull
from facade.pulls.named import read_names
from facade.answers.repeated_refusals import TOLD_AT_ONCE
from facade.values.pull_path import parse_request
from shared.structured_log import configure
from tests.unit.facade.strategies import NOW, HOST, approved
from shared.connection import Anonymous, ConnectionDocument

configure("info")
metrics = FacadeMetrics.create()
exchanges = RequestLog(metrics, clock=lambda: 0.0)
loop = asyncio.new_event_loop()

async def tell(asked, status):
    exchanges.tell(asked, status)

pull = parse_request("GET", "/v2/registry.example/team/app/manifests/sha256:" + "0" * 64)
known_pull = lambda method: KnownPull(method, pull)
known = RequestRecord(
    "GET",
    "192.0.2.5",
    request_id="known",
    device=DeviceIdentity("press-7", "line-a", "abc", NOW),
    known=known_pull("GET"),
    connection=approved(ConnectionDocument(HOST, Anonymous(), "alice", NOW)),
    source=PullSource.STORE,
    body_bytes=5,
)
exchanges.tell(known, 200)
sampled = RequestLog(metrics, 3)
for number in range(5):
    hit = RequestRecord(
        "GET", request_id=f"hit-{number}", known=known_pull("GET"), source=PullSource.MEMORY
    )
    sampled.tell(hit, 200)
for status, source in ((200, "UPSTREAM"), (200, "ARRIVING"), (404, "STORE"), (None, "STORE")):
    asked = RequestRecord(
        "GET",
        request_id=f"{source}-{status}",
        known=known_pull("GET"),
        source=PullSource[source],
    )
    sampled.tell(asked, status)
exchanges.tell(RequestRecord("HEAD", request_id="again", known=known_pull("HEAD")), 200)
exchanges.tell(RequestRecord("GET", request_id="unknown", reason="why"), 404)
exchanges.tell(RequestRecord("GET", request_id="left", known=known_pull("GET")), None)
for number in range(TOLD_AT_ONCE + 1):
    reason = f"aborted after {number} bytes"
    left = RequestRecord("GET", request_id=f"left-{number}", device=known.device, reason=reason)
    if number == TOLD_AT_ONCE:
        loop.run_until_complete(tell(left, None))
    else:
        exchanges.tell(left, None)
named = read_names("/v2/registry.example_5000/team/app/manifests/latest")
exchanges.tell(RequestRecord("GET", request_id="refused", named=named, reason="tag"), 404)
ca = Authority("CN=line CA", b"")
for number in range(TOLD_AT_ONCE + 1):
    subject = "CN=x\\u202e" + "y" * 9999
    presented = PresentedDevice(None, ca.name, 0xABC, NOW, ca, ca, "no name", subject)
    refused = RefusedDevice(presented, DeviceRefusal.UNIDENTIFIED)
    asked = RequestRecord(
        "GET", "192.0.2.7", request_id=f"nobody-{number}", reason="no name", refused=refused
    )
    if number in (0, TOLD_AT_ONCE):
        loop.run_until_complete(tell(asked, 403))
    else:
        exchanges.tell(asked, 403)
for line in metrics.exposition().decode().splitlines():
    if line.startswith(("facade_answers_total", "facade_devices_refused_total")):
        print('{"metric": "' + line.replace('"', "'") + '"}', flush=True)
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the program tells, line by line."""
    file = tmp_path_factory.mktemp("exchange") / "program.py"
    file.write_text(PROGRAM)
    ended = subprocess.run(
        [sys.executable, str(file)],
        capture_output=True,
        check=True,
        timeout=READY_SECONDS,
        env={"PYTHONPATH": str(Path.cwd())},
    )
    return [orjson.loads(line) for line in ended.stdout.splitlines()]


def line_of(told: list[dict[str, Any]], request_id: str) -> dict[str, Any]:
    """Return the one line of a request."""
    (line,) = (dict(each) for each in told if each.get("request_id") == request_id)
    assert line.pop("time")
    assert line.pop("duration_ms") >= 0
    return line


def test_a_line_says_who_asked_what_and_what_became_of_it(told: list[dict[str, Any]]) -> None:
    """Nothing of it is redacted: an operator is to find a pull by any of these."""
    assert line_of(told, "known") == {
        "level": "info",
        "logger": "facade.pull",
        "event": "answered",
        "request_id": "known",
        "device": "press-7",
        "fleet": "line-a",
        "peer": "192.0.2.5",
        "connection": "00000000-0000-0000-0000-000000000001",
        "status": 200,
        "outcome": "answered",
        "source": "store",
        "bytes": 5,
        "reason": "",
        "method": "GET",
        "host": "registry.example",
        "repository": "team/app",
        "kind": "manifests",
        "digest": "sha256:" + "0" * 64,
    }


def test_what_is_rendered_once_is_the_methods_own(told: list[dict[str, Any]]) -> None:
    """A HEAD of the same digest is another line than its GET."""
    line = line_of(told, "again")
    assert (line["method"], line["bytes"], line["device"]) == ("HEAD", 0, None)
    assert line["digest"] == line_of(told, "known")["digest"]


def test_of_what_names_nothing_the_reason_is_said_alone(told: list[dict[str, Any]]) -> None:
    """Whatever a device wrote there."""
    line = line_of(told, "unknown")
    assert (line["status"], line["reason"], line["outcome"]) == (404, "why", "answered")
    assert {line[name] for name in ("host", "repository", "kind", "digest")} == {None}


def test_of_a_refused_request_the_names_are_said_that_could_be_read(
    told: list[dict[str, Any]],
) -> None:
    """Also the tag, which no line of a pull has."""
    line = line_of(told, "refused")
    assert (line["method"], line["status"], line["reason"]) == ("GET", 404, "tag")
    assert (line["host"], line["repository"]) == ("registry.example:5000", "team/app")
    assert (line["kind"], line["reference"], line["digest"]) == ("manifests", "latest", None)


def test_an_answer_that_was_not_whole_is_called_aborted(told: list[dict[str, Any]]) -> None:
    """In the log as in the metrics it is told apart from every answer: it has no status."""
    line = line_of(told, "left")
    assert (line["event"], line["outcome"]) == ("aborted", "aborted")
    assert "status" not in line
    assert line.keys() | {"status"} == line_of(told, "known").keys()


def test_each_is_counted_by_its_status_and_kind(told: list[dict[str, Any]]) -> None:
    """Once; a device's or a host's name is no label."""
    assert {each["metric"] for each in told if "metric" in each} == {
        "facade_answers_total{kind='manifests',status='200'} 9.0",
        "facade_answers_total{kind='manifests',status='404'} 1.0",
        "facade_answers_total{kind='none',status='404'} 2.0",
        "facade_answers_total{kind='manifests',status='aborted'} 2.0",
        "facade_answers_total{kind='none',status='aborted'} 1001.0",
        "facade_answers_total{kind='none',status='403'} 1001.0",
        "facade_devices_refused_total{reason='unidentified'} 1001.0",
        "facade_devices_refused_total{reason='certificate'} 0.0",
        "facade_devices_refused_total{reason='revoked'} 0.0",
    }


def test_a_device_that_is_refused_by_name_can_be_found(told: list[dict[str, Any]]) -> None:
    """By where it is and by what its certificate claims: bounded, and escaped."""
    line = line_of(told, "nobody-0")
    assert (line["device"], line["status"], line["reason"]) == (None, 403, "no name")
    assert (line["peer"], line["presented_serial"]) == ("192.0.2.7", "abc")
    assert line["presented_issuer"] == "CN=line CA"
    assert line["presented_subject"].startswith(r"CN=x\u202eyy")
    assert len(line["presented_subject"]) < 9999
    assert "presented_serial" not in line_of(told, "known")


def test_nobody_fills_the_log_by_being_refused(told: list[dict[str, Any]]) -> None:
    """A certificate that identifies no device is told of together, as a device is."""
    assert "nobody-1000" not in {each.get("request_id") for each in told}


def test_nobody_fills_the_log_by_leaving_in_the_middle_of_answers(
    told: list[dict[str, Any]],
) -> None:
    """However many bytes it took of each."""
    ids = {each.get("request_id") for each in told}
    assert "left-999" in ids
    assert "left-1000" not in ids


def test_of_cheap_hits_one_of_so_many_has_a_line_and_says_so(told: list[dict[str, Any]]) -> None:
    """The first of them, and then the next that stands for as many; all of them are counted."""
    hits = [each for each in told if str(each.get("request_id")).startswith("hit-")]
    assert [(each["request_id"], each["sampled"]) for each in hits] == [("hit-0", 3), ("hit-3", 3)]
    assert "sampled" not in line_of(told, "known")


def test_what_is_no_cheap_hit_has_its_line_whatever_is_sampled(told: list[dict[str, Any]]) -> None:
    """A miss, a joined download, a refusal and an abort."""
    for request_id, source in {
        "UPSTREAM-200": "upstream",
        "ARRIVING-200": "arriving",
        "STORE-404": "none",
        "STORE-None": "store",
    }.items():
        line = line_of(told, request_id)
        assert line["source"] == source
        assert "sampled" not in line


def test_every_request_has_an_id_of_its_own() -> None:
    """Which the answer bears, and the log names."""
    ids = {RequestRecord("GET").request_id for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(each) == 16 for each in ids)
