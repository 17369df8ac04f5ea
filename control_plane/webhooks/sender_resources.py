"""What the senders of one process share: the log, the lease, clocks, the way to targets."""

import time
from collections.abc import Callable
from datetime import datetime

from attrs import field, frozen

from control_plane.clock import Clock
from control_plane.proof.audit_chain import AuditChain
from control_plane.webhooks.sender_lease import SenderLease
from control_plane.webhooks.webhook_metrics import WebhookMetrics
from shared.upstream.proxy import OutboundProxy
from shared.upstream.transport import TransportResources


@frozen(eq=False)
class SenderResources:
    """What the senders of one process have in common."""

    chain: AuditChain
    clock: Clock
    lease: SenderLease
    metrics: WebhookMetrics
    proxy: OutboundProxy | None
    turned_on_at: Callable[[], datetime]  # when somebody last looked after the targets
    transport: TransportResources = field(factory=TransportResources)
    monotonic: Callable[[], float] = time.monotonic
