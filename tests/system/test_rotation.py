"""A secret is rotated through the real control plane, and devices pull through a real facade."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field, frozen
from typing_extensions import override

from deploy.dev.postgres import Postgres
from tests.support.both_processes import start_control_plane, start_facade_of
from tests.support.control_plane import ControlPlane, Json
from tests.support.eventually import eventually
from tests.support.facade_database import DatabaseTemplate
from tests.support.facade_process import Facade
from tests.support.facade_states import pull_path
from tests.support.simulators.login import BasicLogin, BearerLogin, basic_header
from tests.support.simulators.registry import RegistrySimulator
from tests.support.simulators.wire import RecordedRequest

OLD, NEW = "canary-the-old-token", "canary-the-new-token"
OLD_HEADER, NEW_HEADER = basic_header("robot", OLD), basic_header("robot", NEW)


@frozen(kw_only=True)
class SeveralLogins(BasicLogin):
    """Several passwords are good at the same time, as while a token is being replaced."""

    username: str = ""
    password: str = ""
    headers: frozenset[str | None] = frozenset({OLD_HEADER, NEW_HEADER})

    @override
    def accepts(self, request: RecordedRequest) -> bool:
        """Tell whether one of them was sent."""
        return request.header("Authorization") in self.headers


@define
class Product:
    """Both processes on one database, and one device."""

    plane: ControlPlane
    facade: Facade
    _blobs: int = field(default=0, init=False)

    async def until_serving(self, view: Json) -> None:
        """Return once the facade believes the generation of a view."""
        await eventually(
            lambda: bool(
                self.facade.log_lines(
                    event="statement accepted",
                    subject=f"connection/{view['id']}",
                    generation=view["generation"],
                )
            )
        )

    async def pull(
        self, upstream: RegistrySimulator, repository: str = "team/app"
    ) -> list[str | None]:
        """Pull a blob that nobody has pulled; return what the registry was shown for it."""
        self._blobs += 1
        content = f"blob {self._blobs}".encode()
        digest, before = upstream.blob(content, repository=repository), len(upstream.requests)
        path = pull_path(upstream, digest, repository=repository)
        answer = await self.facade.device().get(path)
        assert (answer.status, answer.body) == (200, content)
        return shown(upstream, before)

    async def connect(self, upstream: RegistrySimulator, **fields: str) -> Json:
        """Return the view of an approved connection that serves."""
        asked: dict[str, Any] = {"plain_http": True, "username": "robot", "token": OLD, **fields}
        view = await self.plane.client("alice").connect(str(upstream.host), **asked)
        approved = await self.plane.client("bob").approve(view)
        await self.until_serving(approved)
        return approved


def shown(upstream: RegistrySimulator, after: int = 0) -> list[str | None]:
    """Return the credentials that a registry was shown, from a place in its record on."""
    headers = [request.header("Authorization") for request in upstream.requests[after:]]
    return [header for header in headers if header is not None]


@pytest.fixture
async def product(
    postgres: Postgres, database_template: DatabaseTemplate, tmp_path: Path
) -> AsyncIterator[Product]:
    """The product, with an empty database of its own."""
    database = database_template.copy()
    plane = await start_control_plane(postgres, database, tmp_path)
    settings = {"FACADE_POLL_INTERVAL": "1h"}
    facade = start_facade_of(plane, database, tmp_path / "facade", settings)
    yield Product(plane, facade)
    facade.child.kill()
    plane.stop()


async def test_the_old_token_serves_until_the_new_one_is_approved_and_never_again(
    product: Product,
) -> None:
    """No pull fails on the way, and nobody is shown the old token after it."""
    alice, bob = product.plane.client("alice"), product.plane.client("bob")
    async with RegistrySimulator(login=SeveralLogins()) as upstream:
        view = await product.connect(upstream)
        assert set(await product.pull(upstream)) == {OLD_HEADER}
        checked = len(upstream.requests)
        rotated = await alice.put_credential(view["id"], check=True, token=NEW)
        assert set(shown(upstream, checked)) == {NEW_HEADER}
        assert rotated["draft"]["check"]["outcome"] == "passed"
        assert set(await product.pull(upstream)) == {OLD_HEADER}
        await product.until_serving(await bob.approve(rotated))
        for _ in range(3):
            assert set(await product.pull(upstream)) == {NEW_HEADER}
    log = product.facade.log_text + product.plane.log.read_text()
    assert OLD not in log
    assert NEW not in log


async def test_an_approver_rotates_in_one_act(product: Product) -> None:
    """A token that the registry takes no longer is replaced while devices pull."""
    async with RegistrySimulator(login=BasicLogin("robot", OLD)) as upstream:
        view = await product.connect(upstream)
        await product.pull(upstream)
        upstream.login = BasicLogin("robot", NEW)
        bob = product.plane.client("bob")
        await bob.put_credential(view["id"], check=True, expect=422, token="wrong", approve=True)
        assert await bob.show(view["id"]) == view
        after = await bob.put_credential(view["id"], check=True, token=NEW, approve=True)
        await product.until_serving(after)
        assert set(await product.pull(upstream)) == {NEW_HEADER}


async def test_a_discarded_rotation_changes_nothing(product: Product) -> None:
    """The new token goes to the registry for its check, and to nobody for a device."""
    alice = product.plane.client("alice")
    async with RegistrySimulator(login=SeveralLogins()) as upstream:
        view = await product.connect(upstream)
        await alice.put_credential(view["id"], token=NEW)
        await alice.discard(view["id"])
        assert set(await product.pull(upstream)) == {OLD_HEADER}
        assert NEW_HEADER not in shown(upstream)


async def test_tokens_of_the_old_secret_are_dropped(product: Product) -> None:
    """What the token endpoint gave for it is good for minutes more, and is sent no more."""
    login = BearerLogin("robot", OLD)
    async with RegistrySimulator(login=login) as upstream:
        view = await product.connect(upstream)
        await product.pull(upstream)
        of_old = {f"Bearer {token}" for token in login.tokens}
        assert of_old
        login.password = NEW
        bob = product.plane.client("bob")
        await product.until_serving(await bob.put_credential(view["id"], token=NEW, approve=True))
        sent = await product.pull(upstream)
        assert NEW_HEADER in sent
        assert of_old.isdisjoint(sent)
        assert OLD_HEADER not in sent


async def test_the_longest_prefix_serves_and_rotates_alone(product: Product) -> None:
    """Each part of a registry is asked with its own credential, and another's never."""
    inner_header = basic_header("inner", "canary-inner")
    login = SeveralLogins(headers=frozenset({OLD_HEADER, NEW_HEADER, inner_header}))
    async with RegistrySimulator(login=login) as upstream:
        whole = await product.connect(upstream)
        inner = {"username": "inner", "token": "canary-inner"}
        await product.connect(upstream, repository_prefix="team/private", **inner)
        assert set(await product.pull(upstream, "team/app")) == {OLD_HEADER}
        assert set(await product.pull(upstream, "team/private/app")) == {inner_header}
        assert set(await product.pull(upstream, "team/private")) == {inner_header}
        assert set(await product.pull(upstream, "team/privateer")) == {OLD_HEADER}
        bob = product.plane.client("bob")
        await product.until_serving(await bob.put_credential(whole["id"], token=NEW, approve=True))
        assert set(await product.pull(upstream, "team/app")) == {NEW_HEADER}
        assert set(await product.pull(upstream, "team/private/app")) == {inner_header}


async def test_an_edit_of_the_scope_goes_on_with_the_same_secret(product: Product) -> None:
    """What the facade has opened once is not asked for again; out of scope is out."""
    alice, bob = product.plane.client("alice"), product.plane.client("bob")
    async with RegistrySimulator(login=BasicLogin("robot", OLD)) as upstream:
        view = await product.connect(upstream)
        edited = await alice.edit(view["id"], repositories=["team/app"])
        assert await product.pull(upstream, "team/other")
        await product.until_serving(await bob.approve(edited))
        assert set(await product.pull(upstream, "team/app")) == {OLD_HEADER}
        digest = upstream.blob(b"out of scope", repository="team/other")
        path = pull_path(upstream, digest, repository="team/other")
        answer = await product.facade.device().get(path)
        assert (answer.status, answer.error_code) == (404, "NAME_UNKNOWN")
