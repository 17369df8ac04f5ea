"""Makes the files of a version, by that version's own programs. README.md here says when.

    python -m tests.system.version_before.make_files ARCHIVE

A control plane, a facade, a registry and a device do a little of everything. Then both programs are
stopped, and what they left is put into the archive, with what the control plane had answered.
"""

import asyncio
import subprocess
import sys
import tarfile
import tempfile
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import orjson
import uvloop
from attrs import frozen

from control_plane.clock import now
from control_plane.database.database import Database as ControlPlaneDatabase
from control_plane.operators.operator_token import OperatorName
from control_plane.operators.operators import Operators
from control_plane.operators.permissions import Role
from control_plane.proof.audit_chain import AuditChain
from control_plane.proof.belief import HighestGenerations
from control_plane.proof.signer import Signer
from deploy.dev.device_ca import CertificateAuthority
from deploy.dev.postgres import Postgres, program
from shared.oci import OCI_MANIFEST
from shared.postgres.database_url import read_database_url
from tests.support.both_processes import start_facade_of
from tests.support.control_plane import (
    LOGIN_PASSWORD,
    LOGIN_ROLE,
    ControlPlane,
    Json,
    make_login_role,
)
from tests.support.facade_database import DatabaseTemplate, FacadeDatabase
from tests.support.facade_process import Device, Facade
from tests.support.raw_http import raw_connection, request_bytes
from tests.support.simulators.behaviour import Behaviour, Honest, Stalls
from tests.support.simulators.google import ServiceAccount
from tests.support.simulators.login import BasicLogin
from tests.support.simulators.proxy import ProxySimulator
from tests.support.simulators.registry import RegistrySimulator

HOST: Final = "registry.example"
AUTHORITY: Final = f"{HOST}:80"  # what the proxy is asked for
USERNAME, TOKEN = "robot", "canary-token-of-the-version-before"
MANIFEST: Final = b'{"schemaVersion":2,"config":{},"layers":[]}'
# Of several pieces, and next to nothing when they are compressed.
STORED: Final = b"stored by the version before\n" * 15_000
BROKEN_OFF: Final = b"broken off in the version before\n" * 30_000
CAME: Final = 600_000  # bytes of it
# What the archive holds.
KEYS, DATABASE, ANSWERS = "keys", "database.sql", "answers.json"
PLANE_STATE, FACADE_STATE, FACADE_CACHE = "control-plane-state", "facade-state", "facade-cache"
STATES: Final = ("pending", "approved", "revoked")
FAR_AWAY: Final = "2100-01-01T00:00:00Z"


@frozen
class Contents:
    """Where a device finds what the registry has."""

    stored: str
    manifest: str
    broken_off: str


def put_contents(
    upstream: RegistrySimulator, *, broken_off: Behaviour, stored: Behaviour
) -> Contents:
    """Have a registry serve everything, or fail to."""
    base = f"/v2/{HOST}/team/app"
    manifest = upstream.manifest(MANIFEST, media_type=OCI_MANIFEST, get=stored)
    return Contents(
        f"{base}/blobs/{upstream.blob(STORED, get=stored)}",
        f"{base}/manifests/{manifest}",
        f"{base}/blobs/{upstream.blob(BROKEN_OFF, get=broken_off)}",
    )


def settings_of_control_plane(state: Path) -> dict[str, str | None]:
    """Return the settings beside the usual ones."""
    return {"CONTROL_PLANE_STATE_DIR": str(state), "CONTROL_PLANE_DEVICE_IDENTITY": "spiffe"}


def settings_of_facade(folder: Path, proxy: ProxySimulator) -> dict[str, str]:
    """Return the settings beside the usual ones: the proxy leads the registry's name to ours."""
    return {
        "FACADE_STATE_DIR": str(folder / FACADE_STATE),
        "FACADE_CACHE_DIR": str(folder / FACADE_CACHE),
        "FACADE_CACHE_MAX_BYTES": "1GiB",
        "FACADE_HTTPS_PROXY": proxy.url,
        "FACADE_PROXY_RESOLVES": "true",
        "FACADE_POLL_INTERVAL": "1h",
        "FACADE_SNAPSHOT_MAX_AGE": "100000d",
        "FACADE_DRAIN_TIMEOUT": "1s",
    }


def device_id(name: str) -> str:
    """Return the identity of a device of the fleet `line-a`."""
    return f"spiffe://example.com/fleet/line-a/device/{name}"


def connections() -> dict[str, list[dict[str, Any]]]:
    """Return the requests for connections: of each provider one in each state, by state."""
    account = ServiceAccount.create()
    authority = CertificateAuthority.create("registry CA").pem.decode()
    secret = {"username": USERNAME, "token": TOKEN}
    return {
        state: [
            {"host": f"{state}.{HOST}", **secret, "auth_realms": ["https://auth.example/token"]},
            {"host": f"anonymous.{state}.{HOST}", "description": "a public registry"},
            {
                "host": "europe-west3-docker.pkg.dev",
                "repository_prefix": f"factory-1/{state}",
                "provider": "google_service_account",
                "service_account_key": account.key_json(),
                "fleets": ["line-a", "line-b"],
            },
            {
                "host": f"{account_number}.dkr.ecr.eu-central-1.amazonaws.com",
                "provider": "aws_ecr",
                "role_arn": f"arn:aws:iam::{account_number}:role/pull",
                "external_id": "external-id",
                "repositories": ["team/**", "tools/app-*"],
            },
            {
                "host": f"private.{state}.{HOST}:5000",
                **secret,
                "ca_certificate": authority,
                "allowed_networks": ["10.0.0.0/8", "fd00::/8"],
            },
        ]
        for state, account_number in zip(
            STATES, ("111111111111", "222222222222", "333333333333"), strict=True
        )
    }


async def act(plane: ControlPlane) -> None:
    """Do something of every kind, with a checkpoint in the middle of the log."""
    alice, bob = plane.client("alice"), plane.client("bob")
    served = await alice.connect(HOST, username=USERNAME, token=TOKEN, plain_http=True)
    await bob.approve(served, expires_at=FAR_AWAY)
    for state, requests in connections().items():
        for request in requests:
            view = await alice.connect(**request)
            if state != "pending":
                view = await bob.approve(view)
            if state == "revoked":
                await bob.revoke(view["id"], reason="moved")
    discarded = await alice.connect(f"discarded.{HOST}")
    await alice.discard(discarded["id"])
    edited = await bob.approve(await alice.connect(f"edited.{HOST}"))
    await bob.approve(await alice.edit(edited["id"], repositories=["team/app"]))
    await alice.edit(edited["id"], fleets=["line-b"])  # a draft beside what serves
    await _operators_and_checkpoint(plane)
    for name in ("revoked", "lifted", "again"):
        await bob.revoke_device(device=device_id(name), reason="stolen")
    for view in await bob.device_revocations():
        if not view["device"].endswith("/revoked"):
            await bob.lift(view["id"])
    await bob.revoke_device(device=device_id("again"))
    await bob.revoke_device(serial="0A:BC:1F")
    await bob.revoke_device(serial="0d", issuer="CN=line CA,O=Factory")


async def _operators_and_checkpoint(plane: ControlPlane) -> None:
    signer = Signer.from_private_pem(plane.keys.statement_private.read_bytes())
    async with ControlPlaneDatabase.open(read_database_url(plane.owner_url)) as database:
        chain = AuditChain(database, signer, HighestGenerations(), now)
        operators = Operators(chain)

        async def add(name: str, role: Role) -> None:
            token = await operators.add(
                OperatorName(name), role, lifetime=None, actor="shell:deployer"
            )
            plane.tokens[name] = token.secret.reveal_text()

        await add("removed", Role.ADMIN)
        await operators.remove(OperatorName("removed"), actor="shell:deployer")
        await add("rotated", Role.VIEWER)
        assert chain.log is not None
        await chain.write_checkpoint(chain.log)
        plane.tokens["rotated before"] = plane.tokens["rotated"]
        token = await operators.rotate(
            OperatorName("rotated"), lifetime=None, actor="shell:deployer"
        )
        plane.tokens["rotated"] = token.secret.reveal_text()


async def answers(plane: ControlPlane) -> Json:
    """Return what the control plane says of everything."""
    viewer = plane.client("bob")
    paths = {
        "connections": "/v1/connections?limit=200",
        "device_revocations": "/v1/device-revocations?limit=200",
        "audit": "/v1/audit?limit=200",
    }
    pages = {name: await viewer.call("GET", path) for name, path in paths.items()}
    assert all(page.json["next_cursor"] is None for page in pages.values()), pages
    return {name: page.json["items"] for name, page in pages.items()}


async def pull(facade: Facade, contents: Contents) -> None:
    """Have a device pull, and leave in the middle of the last blob."""
    device = facade.device()
    assert (await device.get(contents.stored)).body == STORED
    assert (await device.get(contents.manifest)).body == MANIFEST
    await leave_in_the_middle(device, contents.broken_off)


async def leave_in_the_middle(device: Device, path: str) -> None:
    """Read the beginning of a blob whose registry stalls."""
    async with raw_connection(device) as connection:
        await connection.send(request_bytes(path.encode()))
        assert (await connection.head())[0] == HTTPStatus.OK
        await connection.exactly(CAME // 2)


def make(archive: Path) -> None:
    """Write the archive."""
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        work.chmod(0o755)  # PostgreSQL runs as another user
        with Postgres(work / "postgres") as postgres:
            database = DatabaseTemplate.make(postgres).copy()
            make_login_role(postgres)
            login_url = postgres.url(LOGIN_ROLE, LOGIN_PASSWORD, database.name)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                said = runner.run(run(work, database, login_url))
            dump(database, work / DATABASE)
        (work / ANSWERS).write_bytes(orjson.dumps(said, option=orjson.OPT_INDENT_2) + b"\n")
        with tarfile.open(archive, "w:gz") as file:
            for name in (KEYS, DATABASE, ANSWERS, PLANE_STATE, FACADE_STATE, FACADE_CACHE):
                file.add(work / name, name)


async def run(work: Path, database: FacadeDatabase, login_url: str) -> Json:
    """Run both programs, and stop them; return what was said."""
    plane = await ControlPlane.start(
        work,
        owner_url=database.owner_url,
        url=login_url,
        environment=settings_of_control_plane(work / PLANE_STATE),
    )
    async with (
        RegistrySimulator(login=BasicLogin(USERNAME, TOKEN)) as upstream,
        ProxySimulator() as proxy,
    ):
        proxy.leads_to[AUTHORITY] = ("127.0.0.1", upstream.port)
        await act(plane)
        said = await answers(plane)
        facade = start_facade_of(plane, database, work / "facade", settings_of_facade(work, proxy))
        await pull(facade, put_contents(upstream, broken_off=Stalls(CAME), stored=Honest()))
        facade.stop()
    plane.stop()
    return said | {"tokens": plane.tokens}


def dump(database: FacadeDatabase, path: Path) -> None:
    """Write the database as SQL. The rights are those that `migrate` grants."""
    command = [program("pg_dump"), "--schema=public", "--no-owner", "--restrict-key=none"]
    written = subprocess.run([*command, database.owner_url], capture_output=True, check=True)
    path.write_bytes(written.stdout)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
