"""Operators: added, rotated, removed, listed. Each is a signed statement with a token's hash.

A row that somebody writes into Postgres lets nobody in, and neither does an older row that is put
back: `belief` compares the statement with the signed audit log.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from attrs import frozen

from control_plane.database.database import Database
from control_plane.database.one_trip import Row, fetch_parts
from control_plane.errors import ConflictError, NotFoundError
from control_plane.operators.operator_token import OperatorName, OperatorToken
from control_plane.operators.permissions import Role
from control_plane.operators.person import Person
from control_plane.proof.actor import Actor, name_of
from control_plane.proof.acts import Act, Acts
from control_plane.proof.audit_chain import AuditChain
from control_plane.proof.belief import Belief, believe
from control_plane.proof.proofs import Proofs
from control_plane.proof.signer import Verifier
from control_plane.proof.statement_store import statement_rows, statements_within
from control_plane.slices import in_slices
from shared.statement import Operator, OperatorRemoval, StoredStatement, operator_subject

OPERATORS: Final = "operator/"  # how their subjects begin
ROTATE: Final = "operator.rotate"
REPLACED_TOKEN: Final = "replaced_token_sha256"  # noqa: S105  # a hash, and of what lets nobody in
NAME_SHOWN: Final = "`operators list` shows all"


@frozen
class ListedOperator:
    """An operator in a list; `problem` says why the row is not believed."""

    name: str
    role: str | None = None
    issued_by: str | None = None
    issued_at: datetime | None = None
    expires_at: datetime | None = None
    person: str | None = None
    problem: str | None = None


@frozen
class IssuedToken(OperatorToken):
    """A token that has just been made, and the operator whose it is."""

    operator: ListedOperator


# For how long a token is good, or until when; None: it has no end.
Lifetime = timedelta | datetime | None
DEFAULT_LIFETIME: Final = timedelta(days=365)  # a token that everybody forgot expires by itself

# Is given the operator as they are, before anything is done; raises what is in the way.
Condition = Callable[[ListedOperator], None]


def _unconditional(_: ListedOperator) -> None:
    """Find nothing in the way."""


class Operators:
    """Adding, rotating and removing operators, with the statement key in hand."""

    def __init__(self, chain: AuditChain, acts: Acts | None = None) -> None:
        """Hold what the acts need; those of one process wait for one another."""
        self._chain = chain
        self._acts = acts or Acts(chain)

    @property
    def database(self) -> Database:
        """Where they are."""
        return self._chain.database

    async def add(
        self,
        name: OperatorName,
        role: Role,
        *,
        lifetime: Lifetime,
        actor: Actor | str,
        person: Person | None = None,
    ) -> IssuedToken:
        """Make an operator and return the token, which is stored nowhere.

        `person`: who holds the token, as single sign-on knows them.
        """
        subject = operator_subject(name.value)
        async with self._acts.begin(about=[subject]) as act:
            belief = await act.belief(subject)
            if isinstance(belief.statement, Operator):
                raise ConflictError(f"there is an operator {name}; `rotate` gives a new token")
            tied = str(person) if person else None
            return _issue(act, belief, name, _Right(role, lifetime, tied), actor)

    async def rotate(
        self,
        name: OperatorName,
        *,
        lifetime: Lifetime,
        actor: Actor | str,
        person: Person | None = None,
        condition: Condition = _unconditional,
    ) -> IssuedToken:
        """Return a new token; the old one is worth nothing from now on.

        Without a `person` it belongs to whom the old one belonged to.
        """
        subject = operator_subject(name.value)
        async with self._acts.begin(about=[subject]) as act:
            belief = await act.belief(subject)
            present = await self._present(act, belief, name)
            condition(_listed_of(present))
            tied = str(person) if person else present.person
            return _issue(act, belief, name, _Right(Role(present.role), lifetime, tied), actor)

    async def remove(
        self, name: OperatorName, *, actor: Actor | str, condition: Condition = _unconditional
    ) -> None:
        """Remove the operator, even one that is not believed."""
        subject = operator_subject(name.value)
        async with self._acts.begin(about=[subject]) as act:
            belief = await act.belief(subject)
            if belief.problem is None:
                condition(_listed_of(await self._present(act, belief, name)))
            else:
                condition(ListedOperator(name.value, problem=belief.problem))
            removal = OperatorRemoval(
                name=name.value,
                removed_by=name_of(actor),
                removed_at=act.at,
                generation=act.generation_after(belief),
            )
            act.sign(removal, actor=actor, action="operator.remove", details={})

    async def _present(self, act: Act, belief: Belief, name: OperatorName) -> Operator:
        """Return the operator; raise `NotFoundError`, which suggests a similar name."""
        if isinstance(belief.statement, Operator):
            return belief.statement
        message = f"there is no operator {name}"
        if belief.problem:
            raise NotFoundError(
                f"{message} that is believed: {belief.problem}; `remove` and `add` mend it"
            )
        everybody = statements_within(OPERATORS)
        (rows,) = await fetch_parts(act.proofs.connection, [everybody])
        listed = await _listed_operators(rows, act.proofs, self._chain.signer)
        names = [each.name for each in listed]
        nearest = difflib.get_close_matches(name.value, names, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else NAME_SHOWN
        raise NotFoundError(f"{message}; {hint}")

    async def show(self, name: str) -> ListedOperator:
        """Return an operator, even one that is not believed; raise `NotFoundError`."""
        subject = operator_subject(name)
        async with self._chain.reading(about=[subject]) as proofs:
            belief = believe(await proofs.evidence(subject), self._chain.signer)
        found = _listed(belief) if belief.statement or belief.problem else None
        if found is None:
            raise NotFoundError(f"there is no operator {name}; {NAME_SHOWN}")
        return found

    async def page(self, *, after: str | None, limit: int) -> tuple[list[ListedOperator], bool]:
        """Return operators in the order of their names, and whether there are more after them."""
        begin = operator_subject(after) if after is not None else ""
        everybody = statements_within(OPERATORS, after=begin, limit=limit + 1)
        async with self._chain.reading(everybody) as proofs:
            stored = _named(proofs.rows(everybody), proofs)
            wanted = sorted(each for each in stored if each > begin)[: limit + 1]
            stored = {each: stored[each] for each in wanted[:limit]}
            listed = await _believed(stored, proofs, self._chain.signer)
        return listed, len(wanted) > limit

    async def list(self) -> list[ListedOperator]:
        """Return the operators, and the rows that only claim to be of some."""
        everybody = statements_within(OPERATORS)
        async with self._chain.reading(everybody) as proofs:
            return await _listed_operators(proofs.rows(everybody), proofs, self._chain.signer)


async def _listed_operators(
    rows: Sequence[Row], proofs: Proofs, verifier: Verifier
) -> list[ListedOperator]:
    """Return whom the database or the signed log names; so a row that was deleted shows, too."""
    return await _believed(dict(sorted(_named(rows, proofs).items())), proofs, verifier)


def _named(rows: Sequence[Row], proofs: Proofs) -> dict[str, StoredStatement | None]:
    logged = (subject for subject, _ in proofs.log.all_made() if subject.startswith(OPERATORS))
    stored: dict[str, StoredStatement | None] = dict.fromkeys(logged)
    return stored | statement_rows(rows)


async def _believed(
    stored: Mapping[str, StoredStatement | None], proofs: Proofs, verifier: Verifier
) -> list[ListedOperator]:
    evidences = await proofs.evidences(stored)
    evident = list(evidences.values())
    listed = await in_slices(evident, lambda each: _listed(believe(each, verifier)))
    return [operator for operator in listed if operator is not None]


@frozen
class _Right:
    """What a token is for, until when, and whose it is."""

    role: Role
    lifetime: Lifetime
    person: str | None

    @property
    def details(self) -> dict[str, str]:
        """What the audit entry says of it."""
        return {"role": self.role.value} | ({"person": self.person} if self.person else {})


def _issue(
    act: Act, belief: Belief, name: OperatorName, right: _Right, actor: Actor | str
) -> IssuedToken:
    """Make a token. The entry has the hash of the one that it replaces, whose users are told so."""
    token, ends = OperatorToken.mint(name), right.lifetime
    before = belief.statement if isinstance(belief.statement, Operator) else None
    operator = Operator(
        name=name.value,
        role=right.role.value,
        token_sha256=token.sha256,
        issued_by=name_of(actor),
        issued_at=act.at,
        generation=act.generation_after(belief),
        expires_at=act.at + ends if isinstance(ends, timedelta) else ends,
        person=right.person,
    )
    act.sign(
        operator,
        actor=actor,
        action=ROTATE if before else "operator.add",
        details=right.details | ({REPLACED_TOKEN: before.token_sha256} if before else {}),
    )
    return IssuedToken(token.name, token.secret, _listed_of(operator))


def _listed_of(operator: Operator) -> ListedOperator:
    return ListedOperator(
        name=operator.name,
        role=operator.role,
        issued_by=operator.issued_by,
        issued_at=operator.issued_at,
        expires_at=operator.expires_at,
        person=operator.person,
    )


def _listed(belief: Belief) -> ListedOperator | None:
    name = belief.subject.partition("/")[2]
    match belief.statement:
        case Operator() as operator:
            return _listed_of(operator)
        case OperatorRemoval():
            return None
        case _:
            return ListedOperator(name=name, problem=belief.problem or "of another type")
