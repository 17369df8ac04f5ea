"""The control plane as a real child process, with keys, operators and a client for each."""

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
import asyncpg
import orjson
import uvloop
from attrs import define, frozen
from click import Context

from control_plane.cli import cli
from control_plane.clock import now
from control_plane.database.database import Database as ControlPlaneDatabase
from control_plane.database.migrate import migrate
from control_plane.operators.operator_token import OperatorName
from control_plane.operators.operators import Operators
from control_plane.operators.permissions import Role
from control_plane.proof.audit_chain import AuditChain
from control_plane.proof.belief import HighestGenerations
from control_plane.proof.signer import Signer
from deploy.dev.postgres import Postgres
from deploy.dev.processes import Child, free_port
from deploy.dev.product import (
    PROGRAMS,
    CommandFailedError,
    is_ready,
)
from shared.keys import load_statement_public_keys
from shared.postgres.database_url import read_database_url
from shared.statement import ConnectionApproval, StoredStatement, verify
from tests.support.commands import run_command
from tests.support.database import Database
from tests.support.eventually import eventually
from tests.support.log_file import logged
from tests.support.surroundings import of_a_child
from tests.support.warm.program import Finished, WarmProgram

OPERATORS = {
    "alice": Role.CONNECTOR,
    "bob": Role.APPROVER,
    "root": Role.ADMIN,
    "eve": Role.VIEWER,
}
LOGIN_ROLE = "admin_api"
LOGIN_PASSWORD = "control plane's own password"
START_SECONDS = 60.0
SURROUNDINGS = of_a_child({}) | {"PYTHONWARNINGS": "default"}  # of every control plane
POLL_SECONDS = 0.05

Json = dict[str, Any]


@frozen
class KeyFiles:
    """What `control-plane keys` writes."""

    folder: Path

    @property
    def sealing_public(self) -> Path:
        """The control plane's."""
        return self.folder / "sealing.public.pem"

    @property
    def sealing_private(self) -> Path:
        """The facade's."""
        return self.folder / "sealing.private.pem"

    @property
    def statement_private(self) -> Path:
        """The control plane's."""
        return self.folder / "statement.private.pem"

    @property
    def statement_public(self) -> Path:
        """The facade's."""
        return self.folder / "statement.public.pem"


def make_keys(folder: Path) -> KeyFiles:
    """Return the four files of a new folder."""
    run_control_plane("keys", "--out", str(folder), environment={})
    return KeyFiles(folder)


def make_login_role(postgres: Postgres) -> None:
    """Make the control plane's login role, once a server, after a first migration."""
    password = LOGIN_PASSWORD.replace("'", "''")
    postgres.sql(
        f"DO $$ BEGIN CREATE ROLE {LOGIN_ROLE} LOGIN PASSWORD '{password}'"
        " IN ROLE registry_control_plane; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    )


def make_template(postgres: Postgres, name: str) -> None:
    """Make a migrated database that others are copied from; nobody connects to it."""
    postgres.create_database(name)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(migrate(read_database_url(postgres.superuser_url_of(name))))
    make_login_role(postgres)


def copy_of(postgres: Postgres, template: str) -> Database:
    """Return a new database, a copy of the template."""
    # file_copy: its CPU is two thirds of what a copy through the log takes (measured).
    name = f"control_plane_{uuid.uuid4().hex}"
    postgres.sql(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
    return Database(postgres, name)


@frozen
class Answer:
    """An answer of the API."""

    status: int
    json: Any
    headers: Mapping[str, str]
    body: bytes


class Operator:
    """One operator's view of the API."""

    def __init__(self, url: str, token: str | None) -> None:
        """Hold the token; without one, calls are nobody's."""
        self._url = url
        self.token = token

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Return the answer to a JSON body, or to raw content."""
        sent = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if body is not None:
            content = orjson.dumps(body)
        if content is not None:
            sent["Content-Type"] = "application/json"
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.request(
                method,
                f"{self._url}{path}",
                data=BytesIO(content) if content else None,
                headers=sent | dict(headers or {}),
            ) as response,
        ):
            raw = await response.read()
            is_json = response.content_type.endswith("json")
            parsed = orjson.loads(raw) if raw and is_json else None
            return Answer(response.status, parsed, response.headers.copy(), raw)

    async def connect(
        self, host: str, *, check: bool = False, expect: int = 201, **fields: object
    ) -> Json:
        """Return the view of a new connection, or the problem if one is expected."""
        path = f"/v1/connections?check={str(check).lower()}"
        body = {"host": host, "provider": "static", **fields}
        return _expected(await self.call("POST", path, body), expect)

    async def approve(
        self,
        connection: Json | str,
        fingerprint: str | None = None,
        *,
        expect: int = 200,
        **fields: object,
    ) -> Json:
        """Approve a view as it was seen, or an id with a fingerprint."""
        connection_id, seen = connection, fingerprint
        if isinstance(connection, dict):
            draft = connection["draft"] or connection
            connection_id, seen = connection["id"], fingerprint or draft["fingerprint"]
        path = f"/v1/connections/{connection_id}/approve"
        return _expected(await self.call("POST", path, {"fingerprint": seen, **fields}), expect)

    async def edit(
        self, connection_id: str, *, check: bool = False, expect: int = 200, **fields: object
    ) -> Json:
        """Return the view of an edited connection."""
        path = f"/v1/connections/{connection_id}?check={str(check).lower()}"
        return _expected(await self.call("PATCH", path, fields), expect)

    async def put_credential(
        self, connection_id: str, *, check: bool = False, expect: int = 200, **fields: object
    ) -> Json:
        """Return the view of a connection with a new secret."""
        path = f"/v1/connections/{connection_id}/credential?check={str(check).lower()}"
        return _expected(await self.call("PUT", path, fields), expect)

    async def discard(self, connection_id: str, *, expect: int = 204) -> None:
        """Discard a connection's draft."""
        answer = await self.call("DELETE", f"/v1/connections/{connection_id}/draft")
        assert answer.status == expect, answer.body

    async def grant(self, connection_id: str, *, expect: int = 200) -> Json:
        """Return what is to be granted for a connection."""
        return _expected(await self.call("GET", f"/v1/connections/{connection_id}/grant"), expect)

    async def audit(self) -> list[Json]:
        """Return the audit log."""
        return await self._every_page("/v1/audit")

    async def audit_about(self, view: Json) -> list[Json]:
        """Return what the audit log has of a connection."""
        return await self._every_page("/v1/audit", about=f"connection/{view['id']}")

    async def revoke(self, connection_id: str, *, expect: int = 200, **fields: object) -> Json:
        """Return the view of the revoked connection."""
        path = f"/v1/connections/{connection_id}/revoke"
        return _expected(await self.call("POST", path, fields), expect)

    async def revoke_device(self, *, expect: int = 201, **fields: object) -> Json:
        """Return the view of a device's or a certificate's revocation."""
        return _expected(await self.call("POST", "/v1/device-revocations", fields), expect)

    async def lift(self, revocation_id: str, *, expect: int = 204) -> None:
        """Lift a device's revocation."""
        answer = await self.call("DELETE", f"/v1/device-revocations/{revocation_id}")
        assert answer.status == expect, answer.body

    async def device_revocations(self) -> list[Json]:
        """Return the revocations in force."""
        return await self._every_page("/v1/device-revocations")

    async def show(self, connection_id: str) -> Json:
        """Return a connection's view."""
        return _expected(await self.call("GET", f"/v1/connections/{connection_id}"), 200)

    async def _every_page(self, path: str, **query: str) -> list[Json]:
        """Return all of a list: tests that share a control plane have made more than a page."""
        items: list[Json] = []
        while True:
            asked = f"{path}?{urlencode({'limit': 200, **query})}"
            page = _expected(await self.call("GET", asked), 200)
            items += page["items"]
            if page["next_cursor"] is None:
                return items
            query["cursor"] = page["next_cursor"]

    async def list(self, **filters: str) -> list[Json]:
        """Return the connections, or those that the filters let through."""
        return await self._every_page("/v1/connections", **filters)


@define
class ControlPlane:
    """`control-plane serve` as a child process, ready."""

    folder: Path
    keys: KeyFiles
    database_url: str
    owner_url: str
    port: int
    tokens: dict[str, str]
    environment: dict[str, str]
    child: Child

    @classmethod
    async def start(
        cls,
        folder: Path,
        *,
        owner_url: str,
        url: str,
        keys: KeyFiles | None = None,
        port: int | None = None,
        environment: Mapping[str, str | None] | None = None,
        tokens: dict[str, str] | None = None,
    ) -> Self:
        """Migrate as the owner, add the operators, and serve as the member of the group role.

        `environment` comes before the usual settings; None leaves one out. `tokens` are those of
        operators who are in the database already.
        """
        keys = keys or make_keys(folder / "keys")
        await migrate(read_database_url(owner_url))
        if tokens is None:
            tokens = await _add_operators(owner_url, keys)
        port = port or free_port()
        usual: dict[str, str | None] = {
            "CONTROL_PLANE_DATABASE_URL": url,
            "CONTROL_PLANE_LISTEN": f"127.0.0.1:{port}",
            "CONTROL_PLANE_SEALING_PUBLIC_KEY_FILE": str(keys.sealing_public),
            "CONTROL_PLANE_STATEMENT_PRIVATE_KEY_FILE": str(keys.statement_private),
            "CONTROL_PLANE_CHECK_NETWORKS": "127.0.0.0/8",
            "CONTROL_PLANE_LOG_LEVEL": "debug",
        }
        given = usual | dict(environment or {})
        settings = {name: value for name, value in given.items() if value is not None}
        child = serve(settings, folder / "control-plane.log")
        plane = cls(folder, keys, url, owner_url, port, tokens, settings, child)
        await plane.wait_until_ready()
        return plane

    @property
    def url(self) -> str:
        """Where the API is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What it printed."""
        return self.child.log

    @property
    def log_lines(self) -> list[Json]:
        """What it logged."""
        return logged(self.log, f"{self.url}/healthz")

    def client(self, name: str | None, *, token: str | None = None) -> Operator:
        """Return the client of alice, bob, root, eve, of a given token, or of nobody."""
        return Operator(self.url, token or (self.tokens[name] if name else None))

    async def wait_until_ready(self) -> None:
        """Return once `/readyz` answers 200; the event loop goes on meanwhile."""
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while not await asyncio.to_thread(is_ready, f"127.0.0.1:{self.port}"):
            if not self.child.running or asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"the control plane is not ready:\n{self.child.log_tail}")
            await asyncio.sleep(POLL_SECONDS)

    async def restart(self) -> None:
        """Stop it and start it again: it forgets what it remembered."""
        self.child.stop()
        self.start_again()
        await self.wait_until_ready()

    def start_again(self) -> None:
        """Start it after it was stopped; it may not get ready."""
        self.child = serve(self.environment, self.log)

    def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> int:
        """Stop it; the exit status."""
        return self.child.stop(with_signal)

    def run(self, *arguments: str, operator: str | None = None, given: str = "") -> str:
        """Return the standard output of a `control-plane` command as a deployer, or an operator."""
        ran = run_command(self.shell_settings(operator), *arguments, given=given)
        if ran.status != 0:
            raise CommandFailedError(
                f"control-plane {' '.join(arguments)}: exit {ran.status}\n{ran.words}"
            )
        return ran.output

    def shell_settings(self, operator: str | None = None) -> dict[str, str]:
        """Return what a command has in its environment, as a deployer or an operator."""
        if operator:
            return {"CONTROL_PLANE_URL": self.url, "CONTROL_PLANE_TOKEN": self.tokens[operator]}
        return {
            "CONTROL_PLANE_DATABASE_URL": self.database_url,
            "CONTROL_PLANE_STATEMENT_PRIVATE_KEY_FILE": str(self.keys.statement_private),
        }


@asynccontextmanager
async def log_of(database_url: str, keys: KeyFiles) -> AsyncIterator[AuditChain]:
    """Yield the log, in hands that may sign."""
    signer = Signer.from_private_pem(keys.statement_private.read_bytes())
    async with ControlPlaneDatabase.open(read_database_url(database_url)) as database:
        chain = AuditChain(database, signer, HighestGenerations(), now)
        await chain.load()  # however long that takes
        yield chain


@asynccontextmanager
async def operators_of(database_url: str, keys: KeyFiles) -> AsyncIterator[Operators]:
    """Yield the use cases of `control-plane operators`, without a process each."""
    async with log_of(database_url, keys) as chain:
        yield Operators(chain)


async def approved_connection(plane: ControlPlane, host: str, **fields: Any) -> Json:
    """Return the view of a connection that alice made and bob approved."""
    view = await plane.client("alice").connect(host, **fields)
    return await plane.client("bob").approve(view)


async def approved_until_it_expired(plane: ControlPlane, view: Json) -> None:
    """Have bob approve what a view shows for a moment, and return once that is over.

    An end that had passed before it was read is refused: then a later one is tried.
    """
    bob, lifetime, status = plane.client("bob"), timedelta(milliseconds=100), 422
    path = f"/v1/connections/{view['id']}/approve"
    while status == 422:
        soon = (datetime.now(UTC) + lifetime).isoformat()
        body = {"fingerprint": view["fingerprint"], "expires_at": soon}
        status, lifetime = (await bob.call("POST", path, body)).status, lifetime * 2
    assert status == 200

    async def has_expired() -> bool:
        return bool((await bob.show(view["id"]))["problem"] == "the approval has expired")

    await eventually(has_expired)


async def served(plane: ControlPlane, connection_id: str) -> ConnectionApproval:
    """Return the statement that a facade reads of a connection."""
    connection = await asyncpg.connect(plane.owner_url)
    try:
        row = await connection.fetchrow(
            "SELECT type, key_id, payload, signature FROM facade_statements WHERE subject = $1",
            f"connection/{connection_id}",
        )
    finally:
        await connection.close()
    assert row is not None
    keys = load_statement_public_keys(plane.keys.statement_public.read_bytes())
    statement = verify(StoredStatement(**dict(row)), keys)
    assert isinstance(statement, ConnectionApproval)
    return statement


async def _add_operators(database_url: str, keys: KeyFiles) -> dict[str, str]:
    async with operators_of(database_url, keys) as operators:
        return {
            name: (
                await operators.add(OperatorName(name), role, lifetime=None, actor="shell:test")
            ).secret.reveal_text()
            for name, role in OPERATORS.items()
        }


def serve(settings: dict[str, str], log: Path) -> Child:
    """Start `control-plane serve`, and wait for nothing."""
    environment = SURROUNDINGS | settings
    cwd = Path(os.sep)
    if all(name.startswith("CONTROL_PLANE_") for name in settings):
        return warm_control_plane().fork(["serve"], log=log, environment=environment, cwd=cwd)
    command = [str(PROGRAMS / "control-plane"), "serve"]
    return Child.start(command, log=log, environment=environment, cwd=cwd)


@cache
def warm_control_plane() -> WarmProgram:
    """Return what forks control planes; the first time from the main thread."""
    commands = [f"control_plane.commands.{name}" for name in cli.list_commands(Context(cli))]
    return WarmProgram.start("control_plane.cli", *commands, surroundings=SURROUNDINGS)


def run_control_plane(*arguments: str, environment: Mapping[str, str]) -> str:
    """Return the standard output of such a process; `CommandFailedError` if it fails."""
    ended = run_process(environment, *arguments)
    if ended.status != 0:
        raise CommandFailedError(
            f"control-plane {' '.join(arguments)}: exit {ended.status}\n{ended.words}"
        )
    return ended.output


def run_process(environment: Mapping[str, str], *arguments: str, given: str = "") -> Finished:
    """Run `control-plane ARGUMENTS` to its end as a process, with nothing else in its environment.

    `run_command` is enough for whoever asks only what a command does.
    """
    whole = {**SURROUNDINGS, **environment}
    return warm_control_plane().run(arguments, environment=whole, given=given)


def _expected(answer: Answer, status: int) -> Json:
    if answer.status != status:
        raise AssertionError(f"expected {status}, got {answer.status}: {answer.body!r}")
    return dict(answer.json)
