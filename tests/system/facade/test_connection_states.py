"""What a device sees of a connection as it is approved, rotated, out of scope, expired, revoked."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from shared.oci import RepositoryName
from shared.repository_pattern import RepositoryPattern
from shared.statement import ConnectionApproval
from tests.support.answer_checks import require_same_refusal
from tests.support.eventually import eventually
from tests.support.facade_process import Device, Facade
from tests.support.facade_states import CANARY_TOKEN, USERNAME, connect, pull_path, write_and_wait
from tests.support.raw_http import RawAnswer, ask, raw_connection, request_bytes
from tests.support.simulators.behaviour import Stalls
from tests.support.simulators.login import BasicLogin
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter

# The poll of these facades comes once an hour, so only the notification can have brought what comes
# within a test's patience. How long that takes is measured in `tests/faults/`.
SENT_BEFORE_STALLING = 600_000  # more than the facade holds back
BLOB = bytes(1_000_000)


@frozen
class Outsider:
    """A way of not being served, and what the log says of it."""

    approval: Mapping[str, Any] | None
    reason: str


OUTSIDERS = {
    "not connected": Outsider(None, "host or repository is not connected and approved"),
    "another prefix": Outsider(
        {"repository_prefix": RepositoryName.parse("other")},
        "host or repository is not connected and approved",
    ),
    "another fleet": Outsider(
        {"fleets": ("line-b", "line-aa")}, "the device's fleet is out of the connection's scope"
    ),
    "another repository": Outsider(
        {"repositories": (RepositoryPattern.parse("team/*/app"), RepositoryPattern.parse("team"))},
        "the repository is out of the connection's scope",
    ),
    "expired": Outsider(
        {"expires_in": dt.timedelta(seconds=-1)}, "the connection's approval has expired"
    ),
    "revoked": Outsider({}, "host or repository is not connected and approved"),
}


def digests_answered(facade: Facade, approval: ConnectionApproval) -> list[str]:
    """Return what was pulled through a connection, to the end or not."""
    lines = facade.log_lines(connection=str(approval.connection_id), logger="facade.pull")
    return [line["digest"] for line in lines]


async def answers_of(device: Device, upstream: RegistrySimulator) -> list[RawAnswer]:
    """Ask in every way for what the registry has."""
    content = b'{"schemaVersion":2,"config":{},"layers":[]}'
    paths = [
        pull_path(upstream, upstream.blob(content)),
        pull_path(upstream, upstream.manifest(content), kind="manifests"),
    ]
    return [
        await ask(device, request_bytes(path.encode(), method=method), to=method)
        for path in paths
        for method in ("GET", "HEAD")
    ]


async def test_whatever_is_not_served_is_answered_with_the_same_bytes(
    facade: Facade, writer: StatementWriter
) -> None:
    """A device learns nothing of what is connected for others; the log says which it was."""
    device = facade.device()
    baseline: list[RawAnswer] = []
    for name, outsider in OUTSIDERS.items():
        async with RegistrySimulator(login=BasicLogin(USERNAME, CANARY_TOKEN)) as upstream:
            if outsider.approval is not None:
                approval = await connect(facade, writer, upstream, **outsider.approval)
                if name == "revoked":
                    await write_and_wait(facade, writer, writer.revocation(approval.connection_id))
            answers = await answers_of(device, upstream)
            assert upstream.requests == []
        baseline = baseline or answers
        for answer, expected in zip(answers, baseline, strict=True):
            require_same_refusal(answer, expected)
            (line,) = facade.log_lines(request_id=answer.header("X-Request-Id"))
            assert line["reason"] == outsider.reason
        assert (answers[0].status, answers[0].error["code"]) == (404, "NAME_UNKNOWN")


async def test_an_approval_serves_without_a_restart(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """An operator approves and sees the first device pull."""
    path = pull_path(upstream, upstream.blob(b"content"))
    device = facade.device()
    assert (await device.get(path)).status == 404
    await writer.approve(str(upstream.host), username=USERNAME, token=CANARY_TOKEN, plain_http=True)

    async def is_served() -> bool:
        answer = await device.get(path)
        return (answer.status, answer.body) == (200, b"content")

    await eventually(is_served)


async def test_a_revocation_refuses_also_on_an_open_connection(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """A device with an open connection has no more rights than another."""
    request = request_bytes(pull_path(upstream, upstream.blob(b"content")).encode())
    approval = await connect(facade, writer, upstream)
    async with raw_connection(facade.device()) as connection:
        await connection.send(request)
        assert (await connection.answer()).body == b"content"
        await writer.revoke(approval.connection_id)

        async def is_refused() -> bool:
            await connection.send(request)
            return (await connection.answer()).status == 404

        await eventually(is_refused)
    asked = len(upstream.requests)
    assert (await facade.device().get(pull_path(upstream, "sha256:" + "0" * 64))).status == 404
    assert len(upstream.requests) == asked


async def test_a_running_stream_of_a_revoked_connection_is_cut(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """With a reset: a clean end would say that the blob was whole."""
    digest = upstream.blob(BLOB, get=Stalls(after=SENT_BEFORE_STALLING))
    approval = await connect(facade, writer, upstream)
    async with raw_connection(facade.device()) as connection:
        await connection.send(request_bytes(pull_path(upstream, digest).encode()))
        assert await connection.head() == (200, len(BLOB))
        await writer.revoke(approval.connection_id)
        received = await connection.until_reset()
    assert len(received) < len(BLOB)
    await eventually(
        lambda: (
            [line["reason"] for line in facade.log_lines(event="aborted", digest=digest)]
            == ["the connection was revoked meanwhile"]
        )
    )
    assert facade.log_lines(level="error") == []


async def test_a_running_stream_outlives_a_new_approval_of_the_same_secret(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """A wider scope is no reason to break what is under way."""
    digest = upstream.blob(BLOB, get=Stalls(after=SENT_BEFORE_STALLING))
    other = upstream.blob(b"content", repository="other/app")
    team = (RepositoryPattern.parse("team/**"),)
    approval = await connect(facade, writer, upstream, repositories=team)
    async with raw_connection(facade.device()) as connection:
        await connection.send(request_bytes(pull_path(upstream, digest).encode()))
        assert await connection.head() == (200, len(BLOB))
        path = pull_path(upstream, other, repository="other/app")
        assert (await facade.device().get(path)).status == 404
        await connect(facade, writer, upstream, connection_id=approval.connection_id)
        assert (await facade.device().get(path)).body == b"content"
        # The other blob's line is there, this one's is not: it is still under way.
        await eventually(lambda: digests_answered(facade, approval) == [other])


async def test_an_approval_ends_by_itself_when_it_expires(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """Nothing is written, and nobody is notified, when an approval expires."""
    path = pull_path(upstream, upstream.blob(b"content"))
    endless = await connect(facade, writer, upstream)
    device = facade.device()
    assert (await device.get(path)).status == 200
    approval = await connect(
        facade,
        writer,
        upstream,
        connection_id=endless.connection_id,
        expires_in=dt.timedelta(seconds=2),
    )

    async def is_refused() -> bool:
        return (await device.get(path)).status == 404

    await eventually(is_refused)
    assert approval.expires_at is not None
    assert dt.datetime.now(dt.UTC) >= approval.expires_at


async def test_a_rotated_secret_is_used_from_its_approval_on(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """The old one is not tried any more, and the old client is gone."""
    path = pull_path(upstream, upstream.blob(b"content"))
    approval = await connect(facade, writer, upstream)
    device = facade.device()
    assert (await device.get(path)).status == 200
    upstream.login = BasicLogin(USERNAME, "another token")
    assert (await device.get(path)).status == 502
    await connect(
        facade,
        writer,
        upstream,
        connection_id=approval.connection_id,
        token="another token",
        secret_version=2,
    )
    assert (await device.get(path)).status == 200


async def test_the_longest_prefix_serves_and_it_alone(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """What its scope refuses does not fall back to a shorter prefix."""
    inside = upstream.blob(b"inside", repository="team/app")
    outside = upstream.blob(b"outside", repository="teammate/app")
    await connect(facade, writer, upstream)
    device = facade.device()
    assert (await device.get(pull_path(upstream, inside))).status == 200
    narrow = await connect(
        facade,
        writer,
        upstream,
        repository_prefix=RepositoryName.parse("team"),
        fleets=("line-b",),
    )
    assert (await device.get(pull_path(upstream, inside))).status == 404
    beside = pull_path(upstream, outside, repository="teammate/app")
    assert (await device.get(beside)).body == b"outside"
    device_b = facade.device(facade.files.device_ca.issue_device(fleet="line-b"))
    assert (await device_b.get(pull_path(upstream, inside))).body == b"inside"
    await write_and_wait(facade, writer, writer.revocation(narrow.connection_id))
    assert (await device.get(pull_path(upstream, inside))).status == 200


async def test_an_anonymous_connection_is_a_connection_like_any_other(
    facade: Facade, writer: StatementWriter
) -> None:
    """Public registries need an approval too, and are sent no credential."""
    async with RegistrySimulator() as upstream:
        path = pull_path(upstream, upstream.blob(b"content"))
        assert (await facade.device().get(path)).status == 404
        await connect(facade, writer, upstream, username=None, token=None)
        assert (await facade.device().get(path)).status == 200
        assert {request.header("Authorization") for request in upstream.requests} == {None}
