"""A registry that is away, refuses or limits: what a device is told, and how often it is asked."""

import asyncio
import re
from collections import Counter
from typing import Any

import pytest

from deploy.dev.device_ca import IssuedCertificate
from facade.registries.refusals import NONSENSE_SECONDS, REFUSAL_SECONDS
from tests.support.eventually import eventually
from tests.support.facade_process import Answer, Device, Facade
from tests.support.facade_states import CANARY_TOKEN, USERNAME, connect, pull_path
from tests.support.forgotten import Forgotten
from tests.support.simulators.behaviour import Answers, Honest
from tests.support.simulators.login import BasicLogin, BearerLogin
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter

WRONG = "canary-of-a-wrong-password"
UPSTREAM_TEXT = b"upstream text"
PULLS = 50


@pytest.fixture
def device(facade: Facade, issued: IssuedCertificate) -> Device:
    """A good device."""
    return facade.device(issued)


async def pull_all(device: Device, upstream: RegistrySimulator, *digests: str) -> list[Answer]:
    """Pull blobs at once."""
    return await asyncio.gather(*(device.get(pull_path(upstream, each)) for each in digests))


async def troubles_told(
    facade: Facade, upstream: RegistrySimulator, count: int
) -> list[tuple[str, str, str | None]]:
    """Return level, event and reason of the lines about a registry, once there are so many."""

    def lines() -> list[dict[str, Any]]:
        return facade.log_lines(logger="facade.registry", host=str(upstream.host))

    await eventually(lambda: len(lines()) >= count)
    return [(line["level"], line["event"], line.get("reason")) for line in lines()]


def is_soon(answer: Answer) -> bool:
    """Tell whether the answer names a time to come again, within a minute."""
    return 1 <= int(answer.headers["Retry-After"]) <= 60


async def test_a_registry_that_is_down_is_away_for_now(
    device: Device, facade: Facade, writer: StatementWriter
) -> None:
    """503 is tried again by containerd and podman; 404 would be taken for an answer."""
    async with RegistrySimulator(login=BasicLogin(USERNAME, CANARY_TOKEN)) as upstream:
        digest = upstream.blob(b"blob")
        await connect(facade, writer, upstream)
    for kind in ("blobs", "manifests"):
        for method in ("GET", "HEAD"):
            path = pull_path(upstream, digest, kind=kind)
            answer = await device.get(path, method=method)
            assert answer.status == 503
            assert is_soon(answer)
    answer = await device.get(pull_path(upstream, digest))
    assert answer.error_code == "UNAVAILABLE"


async def test_a_registry_that_is_down_is_not_run_at_by_every_device(
    facade: Facade, writer: StatementWriter
) -> None:
    """Each with a digest of its own. And it is found again when it is back."""
    ca = facade.files.device_ca
    fleet = [facade.device(ca.issue_device(device=f"down-{each}")) for each in range(PULLS)]
    blobs = [f"blob {each}".encode() for each in range(PULLS)]
    async with RegistrySimulator(login=BasicLogin(USERNAME, CANARY_TOKEN)) as upstream:
        digests = [upstream.blob(each, get=Answers(503), head=Answers(503)) for each in blobs]
        await connect(facade, writer, upstream)
        paths = [pull_path(upstream, digest) for digest in digests]
        pulls = zip(fleet, paths, strict=True)
        answers = [await device.get(path) for device, path in pulls]
        assert {answer.status for answer in answers} == {503}
        assert all(is_soon(answer) for answer in answers)
        assert len(upstream.pulls) < PULLS / 2
        for each in blobs:
            upstream.blob(each, get=Honest())

        async def is_served() -> bool:
            return (await fleet[-1].get(paths[-1])).status == 200

        await eventually(is_served)
    assert await troubles_told(facade, upstream, count=4) == [
        ("warning", "registry does not answer", "the registry answered 503"),
        ("warning", "circuit opened", "the registry failed at several blobs of several devices"),
        ("info", "registry answers again", None),
        ("warning", "circuit closed", None),  # behind the body: its head alone proves nothing
    ]


async def test_one_path_that_fails_is_not_run_at_and_opens_nothing(
    device: Device, facade: Facade, writer: StatementWriter
) -> None:
    """A damaged manifest is no outage."""
    async with RegistrySimulator(login=BasicLogin(USERNAME, CANARY_TOKEN)) as upstream:
        digest = upstream.blob(b"blob", get=Answers(503), head=Answers(503))
        await connect(facade, writer, upstream)
        path = pull_path(upstream, digest)
        answers = [await device.get(path) for _ in range(PULLS)]
        assert {answer.status for answer in answers} == {503}
        assert all(is_soon(answer) for answer in answers)
        assert len(upstream.pulls) < PULLS / 2
        upstream.blob(b"blob", get=Honest())

        async def is_served() -> bool:
            return (await device.get(path)).status == 200

        await eventually(is_served)
    assert await troubles_told(facade, upstream, count=2) == [
        ("warning", "registry does not answer", "the registry answered 503"),
        ("info", "registry answers again", None),
    ]


@pytest.mark.parametrize(
    "status, answered, code",
    [
        (400, 502, "UNAVAILABLE"),
        (402, 403, "DENIED"),
        (403, 502, "DENIED"),
        (404, 404, "BLOB_UNKNOWN"),
        (408, 503, "UNAVAILABLE"),
        (410, 404, "BLOB_UNKNOWN"),
        (412, 403, "DENIED"),
        (416, 502, "UNAVAILABLE"),
        (429, 429, "TOOMANYREQUESTS"),
        (425, 503, "UNAVAILABLE"),
        (451, 403, "DENIED"),
        (500, 503, "UNAVAILABLE"),
        (501, 503, "UNAVAILABLE"),
        (502, 503, "UNAVAILABLE"),
        (503, 503, "UNAVAILABLE"),
        (504, 503, "UNAVAILABLE"),
        (599, 503, "UNAVAILABLE"),
    ],
)
async def test_trouble_is_told_for_what_it_is(
    status: int,
    answered: int,
    code: str,
    device: Device,
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
) -> None:
    """404 for the registry's own 404 and 410: a device may delete what is said not to exist."""
    told = Answers(status, (("Retry-After", "17"),), body=UPSTREAM_TEXT)
    blob, manifest = upstream.blob(b"blob", get=told), upstream.manifest(b"{}", get=told)
    await connect(facade, writer, upstream)
    answer = await device.get(pull_path(upstream, blob))
    assert (answer.status, answer.error_code) == (answered, code)
    assert UPSTREAM_TEXT not in answer.body
    if answered in (429, 503):
        assert answer.headers["Retry-After"] == "17"
    answer = await device.get(pull_path(upstream, manifest, kind="manifests"))
    expected = "MANIFEST_UNKNOWN" if code == "BLOB_UNKNOWN" else code
    assert (answer.status, answer.error_code) == (answered, expected)


async def test_what_the_registry_does_not_have_is_unknown(
    device: Device, facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """For every method and kind."""
    await connect(facade, writer, upstream)
    digest = f"sha256:{'1' * 64}"
    for kind, code in (("blobs", "BLOB_UNKNOWN"), ("manifests", "MANIFEST_UNKNOWN")):
        path = pull_path(upstream, digest, kind=kind)
        assert (await device.get(path, method="HEAD")).status == 404
        answer = await device.get(path)
        assert (answer.status, answer.error_code) == (404, code)


async def test_a_wrong_password_is_told_and_not_hammered(
    device: Device, facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """Fifty pulls, of several repositories, must not lock the account: Basic."""
    await connect(facade, writer, upstream, token=WRONG)
    forgotten = Forgotten.after(REFUSAL_SECONDS / 2)
    for number in range(PULLS):
        repository = f"team/app-{number % 5}"
        digest = upstream.blob(b"blob", repository=repository)
        answer = await device.get(pull_path(upstream, digest, repository=repository))
        assert (answer.status, answer.error_code) == (502, "DENIED")
        assert UPSTREAM_TEXT not in answer.body
    assert 1 <= _shown(upstream)["Basic"] <= 2 * (1 + forgotten.times)
    assert WRONG not in facade.log_text


async def test_a_wrong_password_of_pulls_that_come_together_is_shown_once(
    device: Device, facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """Fifty at once would lock the account: one request shows it before any pull's does."""
    await connect(facade, writer, upstream, token=WRONG)
    digest, forgotten = upstream.blob(b"first"), Forgotten.after(REFUSAL_SECONDS / 2)
    for pulls in (PULLS, 1, PULLS):
        for answer in await pull_all(device, upstream, *[digest] * pulls):
            assert (answer.status, answer.error_code) == (502, "DENIED")
    assert 1 <= _shown(upstream)["Basic"] <= 1 + forgotten.times


async def test_a_wrong_password_is_not_hammered_at_a_token_endpoint(
    device: Device, facade: Facade, writer: StatementWriter
) -> None:
    """Nor by pulls of several repositories, nor by fifty at once."""
    async with RegistrySimulator(login=BearerLogin(USERNAME, CANARY_TOKEN)) as upstream:
        await connect(facade, writer, upstream, token=WRONG)
        forgotten = Forgotten.after(REFUSAL_SECONDS / 2)
        answers = await pull_all(device, upstream, *[upstream.blob(b"first")] * PULLS)
        for number in range(PULLS):
            repository = f"team/app-{number % 5}"
            digest = upstream.blob(b"blob", repository=repository)
            path = pull_path(upstream, digest, repository=repository)
            answers.append(await device.get(path))
        for answer in answers:
            assert (answer.status, answer.error_code) == (502, "DENIED")
        assert _shown(upstream)["Basic"] <= 2 * (1 + forgotten.times)
        metrics = facade.operations("/metrics")[1]  # of the module's other connections, too
        assert re.search(
            r'^facade_refused_credentials{host="127\.0\.0\.1:[0-9]+"} [1-9]', metrics, re.MULTILINE
        )
    warned = await troubles_told(facade, upstream, count=2)
    assert {level for level, _, _ in warned} == {"warning"}
    assert [event for _, event, _ in warned] == ["renewal failed", "credential refused"]
    assert WRONG not in facade.log_text


async def test_a_right_password_outlives_an_invented_repository(
    device: Device, facade: Facade, writer: StatementWriter
) -> None:
    """A registry that answers 401 for what it does not have takes nothing from the others."""
    async with RegistrySimulator(login=BasicLogin(USERNAME, CANARY_TOKEN)) as upstream:
        digest = upstream.blob(b"blob")
        refusal = Answers(401, (("WWW-Authenticate", 'Basic realm="simulator"'),))
        invented = upstream.blob(b"none", repository="team/invented", get=refusal)
        await connect(facade, writer, upstream)
        path = pull_path(upstream, invented, repository="team/invented")
        assert (await device.get(pull_path(upstream, digest))).status == 200
        for _ in range(10):
            assert (await device.get(path)).error_code == "DENIED"
            assert (await device.get(pull_path(upstream, digest))).status == 200
        ((level, event, _),) = await troubles_told(facade, upstream, count=1)
        assert (level, event) == ("warning", "credential refused")
        asked = [request for request in upstream.pulls if "invented" in request.path]
        assert len(asked) <= 4


async def test_a_rate_limit_of_the_token_endpoint_is_handed_on_and_kept(
    device: Device, facade: Facade, writer: StatementWriter
) -> None:
    """With its time, and nobody asks before it is over."""
    login = BearerLogin(USERNAME, CANARY_TOKEN, answer=(429, (("Retry-After", "23"),), b"slow"))
    async with RegistrySimulator(login=login) as upstream:
        await connect(facade, writer, upstream)
        digest = upstream.blob(b"blob")
        answers = [await device.get(pull_path(upstream, digest)) for _ in range(10)]
        for answer in answers:
            assert (answer.status, answer.error_code) == (429, "TOOMANYREQUESTS")
            assert 1 <= int(answer.headers["Retry-After"]) <= 23
        assert [request.path for request in upstream.requests].count("/token") == 1


@pytest.mark.parametrize(
    "answer",
    [
        (200, (), b""),
        (200, (), b"<html>"),
        (200, (), b"[]"),
        (200, (), b"{}"),
        (200, (), b'{"token":""}'),
        (200, (), b'{"token":5}'),
        (200, (), b'{"token":"a\\r\\nX-Injected: 1"}'),
        (200, (), b'{"token":"' + b"x" * 100_000 + b'"}'),
        (204, (), b""),
        (404, (), b"none"),
        (500, (), b"down"),
    ],
)
async def test_a_token_endpoint_that_fails_is_trouble_and_no_404(
    answer: tuple[int, tuple[tuple[str, str], ...], bytes],
    device: Device,
    facade: Facade,
    writer: StatementWriter,
) -> None:
    """Whatever it says, the registry is away."""
    login = BearerLogin(USERNAME, CANARY_TOKEN, answer=answer)
    async with RegistrySimulator(login=login) as upstream:
        await connect(facade, writer, upstream)
        told = await device.get(pull_path(upstream, upstream.blob(b"blob")))
        assert (told.status, told.error_code) in ((502, "UNAVAILABLE"), (503, "UNAVAILABLE"))
        assert all("x-injected" not in dict(request.headers) for request in upstream.requests)


async def test_a_token_endpoint_that_answers_nonsense_is_not_asked_by_every_pull(
    device: Device, facade: Facade, writer: StatementWriter
) -> None:
    """Its answers close no circuit; each pull would show the password once more."""
    login = BearerLogin(USERNAME, CANARY_TOKEN, answer=(200, (), b"<html>"))
    async with RegistrySimulator(login=login) as upstream:
        await connect(facade, writer, upstream)
        digest, forgotten = upstream.blob(b"blob"), Forgotten.after(NONSENSE_SECONDS / 2)
        for _ in range(PULLS):
            told = await device.get(pull_path(upstream, digest))
            assert (told.status, told.error_code) == (503, "UNAVAILABLE")
        asked = [request.path for request in upstream.requests].count("/token")
        assert asked <= 2 * (1 + forgotten.times)


def _shown(upstream: RegistrySimulator) -> Counter[str]:
    """Count the requests by the scheme of what they carry."""
    return Counter(
        (request.header("Authorization") or "").partition(" ")[0] for request in upstream.requests
    )
