"""Strangers with invented tokens: refused at a bounded cost, and in nobody's way."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from control_plane.clock import now
from control_plane.database.database import Database
from control_plane.errors import NotAuthenticatedError, TooManyRequestsError
from control_plane.operators.authenticated_operator import AuthenticatedOperator
from control_plane.operators.authenticator import Authenticator
from control_plane.operators.login_gate import (
    LOOKS_AT_ONCE,
    REFUSED_LOGINS,
    REFUSED_LOGINS_IN_ALL,
    LoginGate,
)
from control_plane.operators.named_tokens import NamedTokens
from control_plane.operators.operator_token import OperatorName, OperatorToken
from control_plane.operators.permissions import Role
from control_plane.operators.stranger_lines import REQUESTS_TOLD, REQUESTS_TOLD_PER_SECOND
from control_plane.proof.audit_chain import AuditChain
from control_plane.proof.belief import HighestGenerations
from control_plane.proof.signer import Signer
from shared.postgres.database_url import read_database_url
from tests.support.control_plane import ControlPlane, operators_of
from tests.support.stranger import invented_logins

HERE = "192.0.2.7"


@pytest.fixture
async def opened(plane: ControlPlane) -> AsyncIterator[Database]:
    """The control plane's database."""
    async with Database.open(read_database_url(plane.database_url)) as its:
        yield its


def gate_of(
    plane: ControlPlane, database: Database, memory: HighestGenerations, *, behind_proxy: bool
) -> LoginGate:
    """Return a gate whose buckets never fill again."""
    signer = Signer.from_private_pem(plane.keys.statement_private.read_bytes())
    authenticator = Authenticator(AuditChain(database, signer, memory, now))
    return LoginGate.of(
        authenticator, NamedTokens(database), lambda: 0.0, behind_proxy=behind_proxy
    )


async def refusals(gate: LoginGate, count: int) -> Counter[type[Exception]]:
    """Return how so many tokens of invented names are refused, all at the same time."""
    tokens = [OperatorToken.mint(OperatorName(f"n{number}")) for number in range(count)]
    answers = await asyncio.gather(
        *(gate.let_in(token, HERE) for token in tokens), return_exceptions=True
    )
    return Counter(type(answer) for answer in answers if isinstance(answer, Exception))


async def test_an_address_has_so_many_logins_refused_and_then_429(
    plane: ControlPlane, opened: Database
) -> None:
    """A valid token is let in from there all the same, and nobody invented is remembered."""
    memory = HighestGenerations()
    gate = gate_of(plane, opened, memory, behind_proxy=False)
    many = REFUSED_LOGINS + 200
    assert await refusals(gate, many) == {
        NotAuthenticatedError: REFUSED_LOGINS,
        TooManyRequestsError: many - REFUSED_LOGINS,
    }
    alice = OperatorToken.parse(plane.tokens["alice"])
    for _ in range(3):
        assert (await gate.let_in(alice, HERE)).name == "alice"
    assert "operator/alice" in memory.everything()
    assert not memory.everything().keys() & {f"operator/n{number}" for number in range(many)}


async def test_behind_a_proxy_nothing_is_shared_out_by_address(
    plane: ControlPlane, opened: Database
) -> None:
    """All come from the proxy: nobody is told that the address did too much."""
    gate = gate_of(plane, opened, HighestGenerations(), behind_proxy=True)
    many = REFUSED_LOGINS_IN_ALL + 100
    assert await refusals(gate, many) == {NotAuthenticatedError: many}
    alice = OperatorToken.parse(plane.tokens["alice"])
    assert (await gate.let_in(alice, HERE)).name == "alice"


class Counting(Authenticator):
    """Counts how often it looks closely."""

    looks = 0
    under_way = 0
    most_under_way = 0

    def __init__(self, chain: AuditChain) -> None:
        """Begin with none."""
        super().__init__(chain)
        self.is_busy = asyncio.Event()  # as many at once as there may be

    async def authenticate(self, token: OperatorToken) -> AuthenticatedOperator:
        """Look."""
        self.looks += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        if self.under_way == LOOKS_AT_ONCE:
            self.is_busy.set()
        try:
            return await super().authenticate(token)
        finally:
            self.under_way -= 1


async def test_a_token_that_expired_is_looked_at_once_in_a_while(
    plane: ControlPlane, opened: Database
) -> None:
    """A row names it, as it names a valid one: each look was three queries and two signatures."""
    lifetime = timedelta(microseconds=1)
    async with operators_of(plane.owner_url, plane.keys) as operators:
        name = OperatorName("gone")
        token = await operators.add(name, Role.VIEWER, lifetime=lifetime, actor="shell:test")
    signer = Signer.from_private_pem(plane.keys.statement_private.read_bytes())
    authenticator = Counting(AuditChain(opened, signer, HighestGenerations(), now))
    gate = LoginGate.of(authenticator, NamedTokens(opened), lambda: 0.0, behind_proxy=False)
    await refusals(gate, REFUSED_LOGINS)
    authenticator.looks = 0
    for _ in range(5):
        logins = (gate.let_in(token, HERE) for _ in range(5))
        answers = await asyncio.gather(*logins, return_exceptions=True)
        assert all("this token expired" in str(answer) for answer in answers)
    assert 1 <= authenticator.looks <= LOOKS_AT_ONCE


async def test_many_strangers_at_once_are_looked_at_a_few_at_a_time(
    plane: ControlPlane, opened: Database
) -> None:
    """Each look takes the loop for 3 ms. Whoever was let in lately waits for none of them."""
    signer = Signer.from_private_pem(plane.keys.statement_private.read_bytes())
    authenticator = Counting(AuditChain(opened, signer, HighestGenerations(), now))
    gate = LoginGate.of(authenticator, NamedTokens(opened), lambda: 0.0, behind_proxy=False)
    alice = OperatorToken.parse(plane.tokens["alice"])
    await gate.let_in(alice, HERE)
    strangers = asyncio.ensure_future(refusals(gate, REFUSED_LOGINS // 2))
    await authenticator.is_busy.wait()
    before = authenticator.looks
    login = asyncio.ensure_future(gate.let_in(alice, HERE))
    await asyncio.sleep(0)  # it has begun
    assert (authenticator.looks, authenticator.under_way) == (before + 1, LOOKS_AT_ONCE + 1)
    assert (await login).name == "alice"
    assert await strangers == {NotAuthenticatedError: REFUSED_LOGINS // 2}
    assert authenticator.most_under_way == LOOKS_AT_ONCE + 1


async def test_logins_that_succeed_use_nothing_up(plane: ControlPlane, opened: Database) -> None:
    """However many scripts an operator runs."""
    gate = gate_of(plane, opened, HighestGenerations(), behind_proxy=False)
    alice = OperatorToken.parse(plane.tokens["alice"])
    for _ in range(REFUSED_LOGINS // 10 + 1):
        await asyncio.gather(*(gate.let_in(alice, HERE) for _ in range(10)))
    assert (await refusals(gate, REFUSED_LOGINS)).keys() == {NotAuthenticatedError}


async def test_a_stranger_writes_a_bounded_log_and_keeps_nobody_out(
    own_plane: ControlPlane,
) -> None:
    """Also an operator whom another process adds meanwhile gets in from the same address."""
    logins, others = 420, 100
    began = time.monotonic()
    statuses = await invented_logins(own_plane.url, logins)
    assert statuses.keys() == {401, 429}
    assert statuses[401] >= REFUSED_LOGINS
    assert (await own_plane.client("alice").call("GET", "/v1/connections")).status == 200
    added = own_plane.run("operators", "add", "late", "--role", "viewer").strip()
    late = own_plane.client(None, token=added)
    assert (await late.call("GET", "/v1/connections")).status == 200
    statuses = await invented_logins(own_plane.url, others, path="/no/such/path")
    assert statuses == {404: others}
    lines = Counter(line["event"] for line in own_plane.log_lines)
    later = (time.monotonic() - began) * REQUESTS_TOLD_PER_SECOND
    assert lines["login denied"] < logins // 2 + later
    assert REQUESTS_TOLD <= lines["answered"] < (logins + others) // 2 + later
    metrics = (await own_plane.client("eve").call("GET", "/metrics")).body.decode()
    assert f"control_plane_denied_logins_total {float(logins)}" in metrics
