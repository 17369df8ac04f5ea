"""Who is let in, and by what: tokens, sessions of the console, persons of single sign-on."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from attrs import frozen

from control_plane.operators.authenticator import Authenticator
from control_plane.operators.last_uses import LastUses
from control_plane.operators.login_gate import LoginGate
from control_plane.operators.named_tokens import NamedTokens
from control_plane.proof.acts import Acts
from control_plane.proof.audit_chain import AuditChain
from control_plane.serving.config import ServeSettings
from control_plane.sessions.session_seal import SessionSeal
from control_plane.sessions.sessions import Sessions
from control_plane.single_sign_on.sign_on import SignOn


@frozen
class Logins:
    """The ways in; each notes when it let an operator in last."""

    last_uses: LastUses
    gate: LoginGate
    sign_on: SignOn
    sessions: Sessions

    @classmethod
    @asynccontextmanager
    async def open(
        cls, configured: ServeSettings, chain: AuditChain, acts: Acts, seal: SessionSeal
    ) -> AsyncIterator[Self]:
        """Yield them; what is asked of the provider ends with the block."""
        last_uses = LastUses(chain.database, chain.clock)
        authenticator = Authenticator(chain, last_uses.note)
        gate = LoginGate.of(
            authenticator,
            NamedTokens(chain.database),
            time.monotonic,
            behind_proxy=configured.behind_tls_proxy,
        )
        opening = SignOn.open(configured.sign_on, gate, chain)
        async with opening as sign_on:
            present = sign_on.configured
            terms = present.settings.sha256 if present else None
            sessions = Sessions.of(seal, authenticator, chain, acts, sign_on=terms)
            yield cls(last_uses, gate, sign_on, sessions)
