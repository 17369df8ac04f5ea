"""Tells by a token who calls: an operator, whose signed statement holds the token's hash.

Of a made-up token nobody learns which operators there are. Whoever holds a replaced or an expired
one is told so.
"""

import hmac
from collections.abc import Callable
from datetime import datetime

from control_plane.errors import NotAuthenticatedError
from control_plane.operators.authenticated_operator import AuthenticatedOperator
from control_plane.operators.operator_token import OperatorToken
from control_plane.operators.operators import REPLACED_TOKEN, ROTATE
from control_plane.operators.permissions import Role
from control_plane.proof.audit_chain import AuditChain
from control_plane.proof.belief import believe
from control_plane.proof.proofs import Proofs
from control_plane.proof.signer import KEY_ID, not_configured
from control_plane.proof.statement_store import fetch_entry_that_says
from shared.canonical_json import format_time
from shared.statement import (
    AuditEntry,
    Operator,
    StatementRefusedError,
    StoredStatement,
    operator_subject,
)


def _not_noted(_: str) -> None:
    """Tell nobody."""


class Authenticator:
    """Tells who calls."""

    def __init__(self, chain: AuditChain, note: Callable[[str], None] = _not_noted) -> None:
        """Hold what a login needs, and who is told the name of whoever is let in."""
        self._chain = chain
        self._note = note

    async def authenticate(self, token: OperatorToken) -> AuthenticatedOperator:
        """Return the operator of a token, or raise `NotAuthenticatedError`."""
        subject = operator_subject(token.name.value)
        async with self._chain.reading(about=[subject]) as proofs:
            evidence = await proofs.evidence(subject)
        belief = believe(evidence, self._chain.signer)
        operator = belief.statement
        if isinstance(operator, Operator) and _is_token_of(operator, token.sha256):
            return self._logged_in(operator)
        # Also for names that nobody has: the time it takes must not tell which operators exist.
        replaced = await self._replacing_entry(belief.subject, token)
        if isinstance(operator, Operator) and replaced:
            raise _replaced(operator, replaced)
        if missing := self._missing_key(evidence.stored, token):
            raise _of_missing_key(token, missing)
        reason = belief.problem or "no such operator"
        if isinstance(operator, Operator):
            reason = "a token that was never the operator's, as far as is known"
        raise unknown_token(token, reason)

    async def present(self, name: str, token_sha256: str, proofs: Proofs) -> AuthenticatedOperator:
        """Return the operator as of now, who was let in before with the token of this hash.

        Raises `NotAuthenticatedError` if the token would let nobody in any more.
        """
        evidence = await proofs.evidence(operator_subject(name))
        belief = believe(evidence, self._chain.signer)
        operator = belief.statement
        if isinstance(operator, Operator) and _is_token_of(operator, token_sha256):
            return self._logged_in(operator)
        raise NotAuthenticatedError(
            "the token that you signed in with was replaced, or you are no operator any more",
            reason=belief.problem or "signed in with a token that is not the operator's any more",
            claimed_name=name,
        )

    def _logged_in(self, operator: Operator) -> AuthenticatedOperator:
        caller = _logged_in(operator, self._chain.clock())
        self._note(caller.name)
        return caller

    def _missing_key(self, stored: StoredStatement | None, token: OperatorToken) -> str | None:
        """Return the id of the missing key that signed the statement with this very token's hash.

        The statement is not believed. Only whoever holds its token is told which key is missing.
        """
        if stored is None or token.sha256.encode() not in stored.payload:
            return None
        is_missing = stored.key_id not in self._chain.signer.public_keys
        return stored.key_id if is_missing and KEY_ID.fullmatch(stored.key_id) else None

    async def _replacing_entry(self, subject: str, token: OperatorToken) -> AuditEntry | None:
        """Return the signed entry of the act that replaced this very token, if there is one."""
        async with self._chain.database.connection() as connection:
            stored = await fetch_entry_that_says(connection, subject, ROTATE, token.sha256)
        try:
            entry = self._chain.signer.verify_as(stored, AuditEntry) if stored else None
        except StatementRefusedError:
            return None
        if entry is None or (entry.about, entry.action) != (subject, ROTATE):
            return None
        return entry if entry.details.get(REPLACED_TOKEN) == token.sha256 else None


def unknown_token(token: OperatorToken, reason: str) -> NotAuthenticatedError:
    """Return the refusal of an unknown token; the reason is for the log alone."""
    return NotAuthenticatedError(
        "no operator has this token: it is of an operator that was removed, or of another"
        " control plane; `control-plane operators list` shows who there is",
        reason=reason,
        claimed_name=token.name.value,
    )


def _of_missing_key(token: OperatorToken, key: str) -> NotAuthenticatedError:
    return NotAuthenticatedError(
        f"this token's operator is {not_configured(key)} at this control plane",
        reason=f"the operator's statement is {not_configured(key)}",
        claimed_name=token.name.value,
    )


def _is_token_of(operator: Operator, token_sha256: str) -> bool:
    return hmac.compare_digest(operator.token_sha256, token_sha256)


def _logged_in(operator: Operator, at: datetime) -> AuthenticatedOperator:
    if operator.expires_at is not None and operator.expires_at <= at:
        raise NotAuthenticatedError(
            f"this token expired at {format_time(operator.expires_at)};"
            f" `control-plane operators rotate {operator.name}` gives a new one",
            reason="the token has expired",
            claimed_name=operator.name,
        )
    if operator.role not in list(Role):
        raise NotAuthenticatedError(
            "the operator's role is not known to this version of the control plane",
            reason="the operator's role is unknown",
            claimed_name=operator.name,
        )
    return AuthenticatedOperator(
        operator.name, Role(operator.role), expires_at=operator.expires_at, person=operator.person
    )


def _replaced(operator: Operator, entry: AuditEntry) -> NotAuthenticatedError:
    return NotAuthenticatedError(
        f"this token was replaced at {format_time(entry.at)}: take the newer one, or have"
        f" `control-plane operators rotate {operator.name}` make another",
        reason="not the operator's present token, but one before it",
        claimed_name=operator.name,
    )
