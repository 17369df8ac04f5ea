"""The use cases of a serving control plane, put together once.

The API, the console, and what runs in the background are given the same ones.
"""

import time
from typing import Final, Self

from attrs import frozen

from control_plane.clock import Clock
from control_plane.connections.acts import Connections
from control_plane.connections.checked_edits import CheckedEdits
from control_plane.connections.checks import Checks
from control_plane.connections.connection_grants import ConnectionGrants
from control_plane.connections.edit_acts import ConnectionEdits
from control_plane.connections.history_reader import HistoryReader
from control_plane.connections.reader import ConnectionReader
from control_plane.connections.service_account_keys import ServiceAccountKeys
from control_plane.device_revocations.acts import DeviceRevocations
from control_plane.device_revocations.reader import DeviceRevocationReader
from control_plane.metrics import ControlPlaneMetrics
from control_plane.operator_accounts.accounts import OperatorAccounts
from control_plane.operator_accounts.operator_sessions import OperatorSessions
from control_plane.operators.operators import Operators
from control_plane.operators.rate_limit import RateLimit
from control_plane.proof.acts import Acts
from control_plane.proof.audit_chain import AuditChain
from control_plane.proof.history import History
from control_plane.proof.sealer import Sealer
from control_plane.review.reviews import ConnectionReviews
from control_plane.serving.config import ServeSettings
from control_plane.sessions.sessions import Sessions
from shared.identity_form import IdentityForm
from shared.upstream.credentials.google import GoogleTokenEndpoint

KEYS: Final = "service account keys"


@frozen
class UseCases:
    """What may be done and read, whoever asks for it."""

    chain: AuditChain
    history: History
    reader: ConnectionReader
    connection_history: HistoryReader
    reviews: ConnectionReviews
    connections: Connections
    edits: ConnectionEdits
    checked_edits: CheckedEdits
    grants: ConnectionGrants
    checks: Checks
    keys: ServiceAccountKeys
    revocations: DeviceRevocations
    revocation_reader: DeviceRevocationReader
    operator_accounts: OperatorAccounts
    operator_sessions: OperatorSessions
    identity_form: IdentityForm | None

    @classmethod
    def of(
        cls,
        configured: ServeSettings,
        chain: AuditChain,
        sealer: Sealer,
        google: GoogleTokenEndpoint,
        clock: Clock,
        metrics: ControlPlaneMetrics,
        acts: Acts,
        sessions: Sessions,
    ) -> Self:
        """Return those of a control plane with these settings."""
        history, form = History(chain), configured.identity_form
        reader = ConnectionReader(chain, history, form)
        second = configured.require_second_approver
        checks = Checks(
            acts,
            RateLimit(time.monotonic),
            google,
            networks=configured.check_networks,
            proxy=configured.outbound_proxy,
        )
        edits = ConnectionEdits(acts, reader, sealer, clock, second_approver=second)
        keys = ServiceAccountKeys(RateLimit(time.monotonic, what=KEYS))
        return cls(
            chain,
            history,
            reader,
            HistoryReader(chain),
            ConnectionReviews(reader, clock, form, second_approver=second),
            Connections(acts, reader, sealer, clock, second_approver=second),
            edits,
            CheckedEdits(edits, checks, keys, metrics),
            ConnectionGrants(reader, configured.aws_principal_arn),
            checks,
            keys,
            DeviceRevocations(acts, form),
            DeviceRevocationReader(chain, form),
            OperatorAccounts(chain, Operators(chain, acts), second_approver=second),
            OperatorSessions(sessions),
            form,
        )
