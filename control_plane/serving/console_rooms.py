"""The rooms of the console, each with the use cases that it calls."""

from collections.abc import Sequence

from control_plane.console.approve import ApprovePages
from control_plane.console.audit_pages import AuditPages, audit_download
from control_plane.console.connect import ConnectPages
from control_plane.console.connection import ConnectionPages
from control_plane.console.connection_changes import ChangePages
from control_plane.console.connection_list import ConnectionListPages
from control_plane.console.device_pages import DevicePages
from control_plane.console.me import MePages
from control_plane.console.operators import OperatorPages
from control_plane.console.overview import OverviewPages
from control_plane.console.page import ConsoleDownload, Room
from control_plane.metrics import ControlPlaneMetrics
from control_plane.serving.health import Health
from control_plane.serving.use_cases import UseCases


def console_rooms(
    use_cases: UseCases, health: Health, metrics: ControlPlaneMetrics
) -> Sequence[Room]:
    """Return the rooms."""
    clock = use_cases.chain.clock
    return (
        OverviewPages(use_cases.chain, use_cases.reader, use_cases.reviews, health.troubles, clock),
        ApprovePages(use_cases.reviews, use_cases.connections, clock),
        ConnectionListPages(use_cases.reader, clock),
        ConnectionPages(
            use_cases.reviews,
            use_cases.connection_history,
            use_cases.grants,
            use_cases.edits,
            use_cases.connections,
        ),
        ChangePages(use_cases.reader, use_cases.checked_edits),
        ConnectPages(use_cases.connections, use_cases.checks, use_cases.keys, metrics),
        OperatorPages(use_cases.operator_accounts, use_cases.operator_sessions, clock),
        DevicePages(use_cases.revocation_reader, use_cases.revocations, use_cases.identity_form),
        AuditPages(use_cases.chain),
        MePages(use_cases.operator_sessions),
    )


def console_downloads(use_cases: UseCases) -> Sequence[ConsoleDownload]:
    """Return what pages link to and is no page."""
    return (audit_download(use_cases.chain.database),)
