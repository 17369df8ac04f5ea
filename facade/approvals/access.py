"""May this device pull this repository, and through which connection? Pure; asked for each pull.

Of several connections of one host, only the one with the longest prefix serves. If its scope
refuses a pull, no connection with a shorter prefix is tried.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from facade.values.device_identity import DeviceIdentity
from facade.values.pull_path import Pull
from shared.approved_connection import ApprovedConnection
from shared.oci import RepositoryName


class DenialReason(StrEnum):
    """Why a pull is not allowed: for the log. The device always sees the same answer."""

    NOT_CONNECTED = "host or repository is not connected and approved"
    EXPIRED = "the connection's approval has expired"
    REPOSITORY = "the repository is out of the connection's scope"
    FLEET = "the device's fleet is out of the connection's scope"


def authorize_pull(
    pull: Pull,
    device: DeviceIdentity,
    connections_of_host: Iterable[ApprovedConnection],
    now: datetime,
) -> ApprovedConnection | DenialReason:
    """Return the connection that the pull goes through, or why it is not allowed.

    The approved connections of its host come with the longest prefix first.
    """
    decision = serving_connection(pull.repository, connections_of_host, now)
    if isinstance(decision, DenialReason):
        return decision
    fleets = decision.document.fleets
    if fleets and device.fleet not in fleets:
        return DenialReason.FLEET
    return decision


def serving_connection(
    repository: RepositoryName, connections_of_host: Iterable[ApprovedConnection], now: datetime
) -> ApprovedConnection | DenialReason:
    """Return the connection that serves a repository, whichever device asks, or why none does."""
    for connection in connections_of_host:
        prefix = connection.document.repository_prefix
        if prefix is None or repository.is_within(prefix):
            break
    else:
        return DenialReason.NOT_CONNECTED
    if connection.expires_at is not None and connection.expires_at <= now:
        return DenialReason.EXPIRED
    if connection.document.repositories and not connection.patterns.match(repository):
        return DenialReason.REPOSITORY
    return connection


def longest_prefix_first(
    connections: Iterable[ApprovedConnection],
) -> tuple[ApprovedConnection, ...]:
    """Return the connections of one host in the order in which `authorize_pull` reads them.

    It is the same order whichever was read first. No control plane signs two of one place and
    generation; if there are, their ids decide.
    """
    return tuple(sorted(connections, key=_precedence, reverse=True))


def _precedence(connection: ApprovedConnection) -> tuple[int, int, UUID]:
    return _prefix_depth(connection), connection.generation, connection.id


def _prefix_depth(connection: ApprovedConnection) -> int:
    prefix = connection.document.repository_prefix
    return len(prefix.components) if prefix else 0
