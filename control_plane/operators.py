"""Operators: who may call. Each is a signed statement that holds the hash of a token.

A row that somebody writes into Postgres logs nobody in, and neither does an older row put back:
`belief` holds the statement against the signed audit log.
"""

import hmac
from datetime import datetime, timedelta

from attrs import frozen

from control_plane.acts import Act, Acts
from control_plane.belief import Belief, Evidence, HighestGenerations, believe
from control_plane.clock import Clock
from control_plane.database import Database
from control_plane.errors import ConflictError, NotAuthenticatedError, NotFoundError
from control_plane.operator_token import OperatorName, OperatorToken
from control_plane.permissions import Role
from control_plane.signer import Verifier
from control_plane.statement_store import (
    fetch_newest_entry_about,
    fetch_statement,
    fetch_statements_within,
)
from shared.statement import Operator, OperatorRemoval, operator_subject


@frozen
class AuthenticatedOperator:
    """Somebody whose token was verified."""

    name: str
    role: Role


@frozen
class ListedOperator:
    """An operator's row in a list; `problem` where it is not believed."""

    name: str
    role: str | None = None
    issued_by: str | None = None
    issued_at: datetime | None = None
    expires_at: datetime | None = None
    problem: str | None = None


class Authenticator:
    """Tells who calls."""

    def __init__(
        self,
        database: Database,
        verifier: Verifier,
        highest: HighestGenerations,
        clock: Clock,
    ) -> None:
        """Hold what a login needs."""
        self._database = database
        self._verifier = verifier
        self._highest = highest
        self._clock = clock

    async def authenticate(self, token: OperatorToken) -> AuthenticatedOperator:
        """Return the operator of a token, or raise `NotAuthenticatedError`."""
        subject = operator_subject(token.name.value)
        highest_seen = self._highest.of(subject)  # before reading: what is read is not older
        async with self._database.connection() as connection:
            evidence = Evidence(
                subject=subject,
                stored=await fetch_statement(connection, subject),
                newest_entry=await fetch_newest_entry_about(connection, subject),
                highest_seen=highest_seen,
            )
        belief = believe(evidence, self._verifier)
        self._highest.remember(subject, belief.highest_generation)
        return _logged_in(belief, token, self._clock())


def _logged_in(belief: Belief, token: OperatorToken, at: datetime) -> AuthenticatedOperator:
    operator = belief.statement
    reason = None
    if not isinstance(operator, Operator):
        reason = belief.problem or "no such operator"
    elif not hmac.compare_digest(operator.token_sha256, token.sha256):
        reason = "not the operator's present token"
    elif operator.expires_at is not None and operator.expires_at <= at:
        reason = "the token has expired"
    elif operator.role not in list(Role):
        reason = "the operator's role is unknown"
    else:
        return AuthenticatedOperator(operator.name, Role(operator.role))
    raise NotAuthenticatedError(reason, claimed_name=token.name.value)


class Operators:
    """Adding, rotating and removing operators, with the statement key in hand."""

    def __init__(self, database: Database, acts: Acts, verifier: Verifier) -> None:
        """Hold what the acts need."""
        self._database = database
        self._acts = acts
        self._verifier = verifier

    async def add(
        self, name: OperatorName, role: Role, *, lifetime: timedelta | None, actor: str
    ) -> OperatorToken:
        """Make an operator and return the token, which is kept nowhere."""
        async with self._acts.begin() as act:
            belief = await act.belief(operator_subject(name.value))
            if isinstance(belief.statement, Operator):
                message = f"there is an operator {name}; `rotate` gives a new token"
                raise ConflictError(message)
            return await _issue(act, belief, name, role, lifetime, actor, "operator.add")

    async def rotate(
        self, name: OperatorName, *, lifetime: timedelta | None, actor: str
    ) -> OperatorToken:
        """Return a new token; the one before is worth nothing from now on."""
        async with self._acts.begin() as act:
            belief = await act.belief(operator_subject(name.value))
            operator = _present(belief, name)
            return await _issue(
                act, belief, name, Role(operator.role), lifetime, actor, "operator.rotate"
            )

    async def remove(self, name: OperatorName, *, actor: str) -> None:
        """Let the operator call no longer; works also on one that is not believed."""
        async with self._acts.begin() as act:
            belief = await act.belief(operator_subject(name.value))
            if belief.problem is None:
                _present(belief, name)
            removal = await act.write_statement(
                belief,
                lambda generation: OperatorRemoval(
                    name=name.value, removed_by=actor, removed_at=act.at, generation=generation
                ),
            )
            await act.record(
                actor=actor,
                action="operator.remove",
                about=removal.subject,
                about_generation=removal.generation,
                details={},
            )

    async def list(self) -> list[ListedOperator]:
        """Return the operators, and the rows that pretend to be some."""
        async with self._database.connection() as connection:
            stored = await fetch_statements_within(connection, "operator")
            beliefs = [
                believe(
                    Evidence(subject, row, await fetch_newest_entry_about(connection, subject)),
                    self._verifier,
                )
                for subject, row in stored.items()
            ]
        listed = [_listed(belief) for belief in beliefs]
        return [operator for operator in listed if operator is not None]


def _present(belief: Belief, name: OperatorName) -> Operator:
    if isinstance(belief.statement, Operator):
        return belief.statement
    message = f"there is no operator {name}"
    if belief.problem:
        message = f"{message} that is believed: {belief.problem}; `remove` and `add` mend it"
    raise NotFoundError(message)


async def _issue(
    act: Act,
    belief: Belief,
    name: OperatorName,
    role: Role,
    lifetime: timedelta | None,
    actor: str,
    action: str,
) -> OperatorToken:
    token = OperatorToken.mint(name)
    operator = await act.write_statement(
        belief,
        lambda generation: Operator(
            name=name.value,
            role=role.value,
            token_sha256=token.sha256,
            issued_by=actor,
            issued_at=act.at,
            generation=generation,
            expires_at=act.at + lifetime if lifetime else None,
        ),
    )
    await act.record(
        actor=actor,
        action=action,
        about=operator.subject,
        about_generation=operator.generation,
        details={"role": role.value},
    )
    return token


def _listed(belief: Belief) -> ListedOperator | None:
    name = belief.subject.partition("/")[2]
    match belief.statement:
        case Operator() as operator:
            return ListedOperator(
                name=operator.name,
                role=operator.role,
                issued_by=operator.issued_by,
                issued_at=operator.issued_at,
                expires_at=operator.expires_at,
            )
        case OperatorRemoval():
            return None
        case _:
            return ListedOperator(name=name, problem=belief.problem or "of another type")
