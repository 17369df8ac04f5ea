"""An old right is proven again, a few at a time; who ends it, and who only keeps it waiting."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from attrs import define, frozen

from facade.content.still_given import may_still_read
from facade.metrics.store_metrics import StoreMetrics
from facade.registries.connection_work import ConnectionWork
from facade.registries.upstream import Upstream
from facade.registries.upstreams import Upstreams
from facade.rights.background_proofs import (
    MAX_PROOFS_AT_ONCE,
    PAUSE_SECONDS,
    PROOF_HOLDS_SECONDS,
    REFUSALS_THAT_END,
    BackgroundProofs,
)
from facade.rights.right import FlightKey, Right
from facade.rights.rights import ProvenRight, Rights
from facade.store.index import Index
from facade.values.authorized_pull import AuthorizedPull
from facade.values.pull_path import Pull
from shared.approved_connection import ApprovedConnection
from shared.connection import Anonymous, ConnectionDocument
from shared.oci import OCI_MANIFEST, Digest, Kind, RepositoryName
from tests.support.clock import Clock
from tests.support.eventually import eventually
from tests.support.simulators.behaviour import (
    Answers,
    Behaviour,
    NoLength,
    OtherBytes,
    Ranged,
    RawBytes,
    Stalls,
)
from tests.support.simulators.login import BasicLogin
from tests.support.simulators.registry import RegistrySimulator
from tests.unit.facade.conftest import Connect

APP = RepositoryName.parse("team/app")
OLD = PROOF_HOLDS_SECONDS + 1


@frozen
class Used:
    """A right, and what uses it."""

    right: Right
    asked: AuthorizedPull


@define
class Scene:
    """A registry, and the proofs of what was brought from it."""

    registry: RegistrySimulator
    connection: ApprovedConnection
    upstream: Upstream
    rights: Rights
    clock: Clock
    proofs: BackgroundProofs
    path: Path  # of the index file

    def right(
        self,
        name: str,
        kind: Kind = Kind.BLOB,
        get: Behaviour | None = None,
        age: float = OLD,
        head: Behaviour | None = None,
    ) -> Used:
        """Have a right that was proven so long ago."""
        content = b'{"layers":[],"of":"%s"}' % name.encode()
        put = self.registry.manifest if kind is Kind.MANIFEST else self.registry.blob
        digest = Digest.parse(put(content, get=get, head=head))
        key = FlightKey(self.connection.access_key, kind, digest)
        self.rights.prove(Right(key, APP), OCI_MANIFEST)
        with closing(sqlite3.connect(self.path, isolation_level=None)) as database:
            database.execute(
                "UPDATE memberships SET proven_at = ? WHERE digest = ?",
                (time.time() - age, str(digest)),
            )
        pull = Pull(self.registry.host, APP, kind, digest)
        asked = AuthorizedPull(pull, self.connection)
        return Used(Right(key, APP), asked)

    def membership(self, used: Used) -> ProvenRight | None:
        """Read what the file says."""
        with closing(sqlite3.connect(self.path)) as database:
            row = database.execute(
                "SELECT media_type, proven_at FROM memberships WHERE digest = ?",
                (str(used.right.key.digest),),
            ).fetchone()
        return ProvenRight(*row) if row else None

    def use(self, used: Used) -> None:
        """Use a right."""
        membership = self.membership(used)
        assert membership is not None
        if self.proofs.is_due(membership):
            self.proofs.note_use(used.asked, used.right)

    def is_young(self, used: Used) -> bool:
        """Tell whether it was proven just now."""
        membership = self.membership(used)
        return membership is not None and membership.proven_at > time.time() - 60


@pytest.fixture
async def scene(connect: Connect, tmp_path: Path) -> AsyncIterator[Scene]:
    """An open registry, connected without a login."""
    now, clock = datetime.now(UTC), Clock()
    async with RegistrySimulator() as registry:
        connection = ApprovedConnection(
            id=uuid4(),
            generation=1,
            document=ConnectionDocument(registry.host, Anonymous(), "alice", now),
            fingerprint="sha256:0",
            access_key="a" * 64,
            approved_by="bob",
            approved_at=now,
            expires_at=None,
            sealed_secret=None,
        )
        upstream = await connect(registry)

        async def lend(_: ApprovedConnection) -> Upstream:
            return upstream

        upstreams = Upstreams(lend, ConnectionWork())
        path = tmp_path / "index.sqlite3"
        with closing(Index.open(path, tmp_path, StoreMetrics.of_nobody())) as index:
            rights = Rights(index)
            proofs = BackgroundProofs(rights, upstreams, may_still_read, clock, max_delay=0.0)
            yield Scene(registry, connection, upstream, rights, clock, proofs, path)
            await proofs.close()
        await upstreams.close()


async def idle(scene: Scene) -> None:
    """Return once nothing is proven any more."""
    await eventually(lambda: scene.proofs.under_way == 0)


async def test_a_young_right_is_not_proven_again(scene: Scene) -> None:
    """Upstream is left alone for a day."""
    used = scene.right("young", age=PROOF_HOLDS_SECONDS - 60)
    scene.use(used)
    assert scene.proofs.under_way == 0
    assert scene.registry.requests == []


@pytest.mark.parametrize("kind", Kind)
async def test_many_uses_are_one_proof(scene: Scene, kind: Kind) -> None:
    """One at a time for each right."""
    used = scene.right("used", kind)
    for _ in range(5):
        scene.use(used)
    await idle(scene)
    assert scene.is_young(used)
    assert len(scene.registry.pulls) == 1


async def test_few_are_proven_at_once_and_the_rest_at_a_later_use(scene: Scene) -> None:
    """A day after a rollout everything is old at once."""
    many = [scene.right(str(number), get=Stalls()) for number in range(MAX_PROOFS_AT_ONCE + 3)]
    for used in many:
        scene.use(used)
    assert scene.proofs.under_way == MAX_PROOFS_AT_ONCE
    await eventually(lambda: len(scene.registry.pulls) == MAX_PROOFS_AT_ONCE)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("status", [402, 403, 404, 410, 412, 451])
async def test_a_denied_get_ends_a_right(scene: Scene, kind: Kind, status: int) -> None:
    """Of this digest alone."""
    denied, other = scene.right("denied", kind, Answers(status)), scene.right("other", kind)
    scene.use(denied)
    await idle(scene)
    assert scene.membership(denied) is None
    assert scene.membership(other) is not None


@pytest.mark.parametrize("answer", [Answers(429)])
async def test_an_upstream_that_is_away_is_left_alone_for_a_while(
    scene: Scene, answer: Answers
) -> None:
    """For every right of the connection: it is the registry that wants to be left alone."""
    used, other = scene.right("used", get=answer), scene.right("other")
    scene.use(used)
    await idle(scene)
    scene.use(used)
    scene.use(other)
    assert scene.proofs.under_way == 0
    assert scene.membership(used) is not None
    scene.clock.advance(PAUSE_SECONDS)
    scene.use(other)
    await idle(scene)
    assert scene.is_young(other)


@pytest.mark.parametrize("status", [402, 410, 412, 451])
async def test_a_policy_that_refuses_the_head_alone_ends_nothing(scene: Scene, status: int) -> None:
    """What GET is answered decides, as with a 403."""
    used = scene.right("used", Kind.MANIFEST, head=Answers(status))
    scene.use(used)
    await idle(scene)
    assert scene.is_young(used)


@pytest.mark.parametrize(
    "answer",
    [
        Answers(408),
        Answers(418),
        Answers(421),
        Answers(425),
        Answers(500),
        Answers(503),
        Answers(200, (("Content-Type", "text/html"),)),
    ],
)
async def test_an_answer_that_says_nothing_holds_up_no_other_right(
    scene: Scene, answer: Answers
) -> None:
    """A captive portal or a broken proxy denies nothing."""
    odd, other = scene.right("odd", get=answer), scene.right("other")
    scene.use(odd)
    await idle(scene)
    assert scene.membership(odd) is not None
    scene.use(odd)
    scene.use(other)
    await idle(scene)
    assert scene.is_young(other)
    asked = len(scene.registry.pulls)
    scene.clock.advance(PAUSE_SECONDS)
    scene.use(odd)
    await idle(scene)
    assert len(scene.registry.pulls) > asked


HTML = b"HTTP/1.1 206 Partial Content\r\nContent-Type: text/html\r\nContent-Range: %b\r\n\r\n{"
ENCODED = (("Content-Type", OCI_MANIFEST), ("Content-Encoding", "aws-chunked"))


@pytest.mark.parametrize(
    "kind, answer",
    [
        (Kind.BLOB, RawBytes(HTML % b"bytes 0-0/26")),
        (Kind.BLOB, RawBytes(HTML % b"bytes 0-0/*")),
        (Kind.BLOB, Ranged(refuses="all", refusal_names_total=False)),
        (Kind.BLOB, NoLength(head_length=False)),
        (Kind.MANIFEST, NoLength(head_length=False)),
        (Kind.MANIFEST, Answers(200, ENCODED, b'{"layers":[],"of":"used"}')),
    ],
)
async def test_what_is_given_renews_a_right_whatever_headers_say_of_it(
    scene: Scene, kind: Kind, answer: Behaviour
) -> None:
    """A manifest by its digest; a blob by its first byte, which no login page has."""
    used = scene.right("used", kind, get=answer, head=Answers(405))
    scene.use(used)
    await idle(scene)
    assert scene.is_young(used)


async def test_another_manifest_renews_no_right(scene: Scene) -> None:
    """Nor does it end one: it is tried again later."""
    used = scene.right("used", Kind.MANIFEST, get=OtherBytes(), head=Answers(405))
    scene.use(used)
    await idle(scene)
    assert scene.membership(used) is not None
    assert not scene.is_young(used)


async def test_a_login_that_is_refused_again_and_again_is_a_denial(scene: Scene) -> None:
    """A single one may be remembered of something else."""
    used = scene.right("used")
    scene.registry.login = BasicLogin("robot", "password")
    for _ in range(REFUSALS_THAT_END):
        assert scene.membership(used) is not None
        scene.use(used)
        await idle(scene)
        scene.clock.advance(PAUSE_SECONDS)
    assert scene.membership(used) is None


async def test_a_refusal_that_passes_ends_nothing(scene: Scene) -> None:
    """The next try finds that all is as it was."""
    used = scene.right("used")
    scene.registry.login = BasicLogin("robot", "password")
    scene.use(used)
    await idle(scene)
    scene.registry.login = None
    scene.clock.advance(PAUSE_SECONDS)
    scene.use(used)
    await idle(scene)
    assert scene.is_young(used)


async def test_closing_ends_what_is_asked(scene: Scene) -> None:
    """The facade stops without waiting for a registry."""
    used = scene.right("used", get=Stalls())
    scene.use(used)
    await eventually(lambda: len(scene.registry.pulls) == 1)
    await asyncio.wait_for(scene.proofs.close(), 10)
    assert scene.proofs.under_way == 0
    assert scene.membership(used) is not None
