"""May this device pull this repository? Compared with an oracle that reads like the promise."""

import re
from datetime import timedelta
from random import Random
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facade.approvals.access import (
    DenialReason,
    authorize_pull,
    longest_prefix_first,
)
from facade.values.device_identity import DeviceIdentity
from facade.values.pull_path import Pull
from shared.approved_connection import ApprovedConnection
from shared.connection import Anonymous, ConnectionDocument
from shared.oci import Kind, RepositoryName
from shared.repository_pattern import RepositoryPattern
from tests.unit.facade.strategies import DIGEST, HOST, NOW, approved, connections, devices, pulls


def components(name: RepositoryName | None) -> list[str]:
    """Return a prefix's or a name's parts; none for no prefix."""
    return str(name).split("/") if name else []


def matches(pattern: RepositoryPattern, name: str) -> bool:
    """Tell whether a pattern matches, by one slow expression."""
    parts = [
        r"[^/]+(?:/[^/]+)*" if part == "**" else re.escape(part).replace(r"\*", "[^/]*")
        for part in str(pattern).split("/")
    ]
    return re.fullmatch("/".join(parts), name) is not None


def oracle(pull: Pull, device: DeviceIdentity, all_connections: list[ApprovedConnection]) -> object:
    """Return the id of the connection that serves, or why none does."""
    name = components(pull.repository)
    serving: ApprovedConnection | None = None
    for connection in all_connections:
        prefix = components(connection.document.repository_prefix)
        if name[: len(prefix)] != prefix:
            continue
        if serving is None or (len(prefix), connection.generation) > (
            len(components(serving.document.repository_prefix)),
            serving.generation,
        ):
            serving = connection
    if serving is None:
        return DenialReason.NOT_CONNECTED
    if serving.expires_at is not None and not serving.expires_at > NOW:
        return DenialReason.EXPIRED
    patterns, fleets = serving.document.repositories, serving.document.fleets
    if patterns and not [each for each in patterns if matches(each, str(pull.repository))]:
        return DenialReason.REPOSITORY
    if fleets and (device.fleet is None or device.fleet not in fleets):
        return DenialReason.FLEET
    return serving.id


def one_of_each_place(all_connections: list[ApprovedConnection]) -> list[ApprovedConnection]:
    """Return connections of distinct (prefix, generation): among equals the order is free."""
    kept: dict[object, ApprovedConnection] = {}
    for each in all_connections:
        kept.setdefault((each.document.repository_prefix, each.generation), each)
    return list(kept.values())


@given(pulls, devices, st.lists(connections, max_size=5).map(one_of_each_place), st.randoms())
def test_the_decision_is_the_oracles_in_whatever_order(
    pull: Pull,
    device: DeviceIdentity,
    all_connections: list[ApprovedConnection],
    random: Random,
) -> None:
    """Longest prefix, expiry, repository, fleet; and that connection alone."""
    expected = oracle(pull, device, all_connections)
    random.shuffle(all_connections)
    decision = authorize_pull(pull, device, longest_prefix_first(all_connections), NOW)
    if isinstance(decision, DenialReason):
        assert decision is expected
    else:
        assert decision.id == expected


@given(pulls, devices, st.lists(connections, max_size=4))
def test_what_is_allowed_is_allowed_by_every_rule(
    pull: Pull, device: DeviceIdentity, all_connections: list[ApprovedConnection]
) -> None:
    """Said once more without an order, so that an error in the oracle's shows."""
    decision = authorize_pull(pull, device, longest_prefix_first(all_connections), NOW)
    if isinstance(decision, DenialReason):
        return
    document = decision.document
    assert decision in all_connections
    assert not document.fleets or device.fleet in document.fleets
    assert not document.repositories or any(
        each.matches(pull.repository) for each in document.repositories
    )
    assert decision.expires_at is None or decision.expires_at > NOW


@given(st.lists(connections, max_size=5, unique_by=lambda each: each.id))
def test_the_order_is_the_same_whichever_was_read_first(
    all_connections: list[ApprovedConnection],
) -> None:
    """Of the same place and generation, too: rows that are verified late are read in no order."""
    alike = [attrs.evolve(each, generation=7) for each in all_connections]
    assert longest_prefix_first(alike) == longest_prefix_first(alike[::-1])


@given(pulls, devices, st.lists(connections, max_size=4), connections)
def test_a_longer_prefix_takes_the_place_of_a_shorter_one_even_to_refuse(
    pull: Pull,
    device: DeviceIdentity,
    all_connections: list[ApprovedConnection],
    added: ApprovedConnection,
) -> None:
    """Otherwise a scope that an approver narrowed would be widened by another connection."""
    whole_name = attrs.evolve(
        added,
        generation=9,
        document=attrs.evolve(
            added.document, repository_prefix=pull.repository, fleets=("nobody's",)
        ),
    )
    ordered = longest_prefix_first([*all_connections, whole_name])
    decision = authorize_pull(pull, device, ordered, NOW)
    assert isinstance(decision, DenialReason)


TEAM = {"repository_prefix": RepositoryName.parse("team")}
APP = {"repositories": (RepositoryPattern.parse("team/app"),)}
LINE_A = {"fleets": ("line-a",)}


@pytest.mark.parametrize(
    "scope, repository, fleet, expected",
    [
        ({}, "anything", "line-a", None),
        ({}, "anything", None, None),
        (TEAM, "team", None, None),
        (TEAM, "team/app", None, None),
        (TEAM, "teammate/app", None, DenialReason.NOT_CONNECTED),
        (TEAM, "app", None, DenialReason.NOT_CONNECTED),
        (APP, "team/app", None, None),
        (APP, "team/app/debug", None, DenialReason.REPOSITORY),
        (TEAM | APP, "team/other", None, DenialReason.REPOSITORY),
        (LINE_A, "anything", "line-a", None),
        (LINE_A, "anything", "line-b", DenialReason.FLEET),
        (LINE_A, "anything", "LINE-A", DenialReason.FLEET),
        (LINE_A, "anything", "line", DenialReason.FLEET),
        (LINE_A, "anything", None, DenialReason.FLEET),
        (LINE_A | APP, "team/other", "line-b", DenialReason.REPOSITORY),
        (LINE_A | TEAM, "other", "line-a", DenialReason.NOT_CONNECTED),
    ],
)
def test_scope_by_scope(
    scope: dict[str, Any], repository: str, fleet: str | None, expected: DenialReason | None
) -> None:
    """The matrix that an operator has in mind. A device of no fleet gets what all fleets get."""
    document = ConnectionDocument(
        HOST, Anonymous(), connected_by="alice", connected_at=NOW, **scope
    )
    connection = approved(document)
    pull = Pull(HOST, RepositoryName.parse(repository), Kind.BLOB, DIGEST)
    device = DeviceIdentity("press-7", fleet, "abc", NOW)
    decision = authorize_pull(pull, device, [connection], NOW)
    assert decision == (connection if expected is None else expected)


@pytest.mark.parametrize(
    "lasts, allowed",
    [(timedelta(microseconds=1), True), (timedelta(0), False), (-timedelta(days=1), False)],
)
def test_an_approval_has_ended_at_its_last_moment(lasts: timedelta, *, allowed: bool) -> None:
    """Not a moment later."""
    document = ConnectionDocument(HOST, Anonymous(), connected_by="alice", connected_at=NOW)
    connection = attrs.evolve(approved(document), expires_at=NOW + lasts)
    pull = Pull(HOST, RepositoryName.parse("app"), Kind.BLOB, DIGEST)
    decision = authorize_pull(pull, DeviceIdentity("press-7", None, "abc", NOW), [connection], NOW)
    assert isinstance(decision, ApprovedConnection) is allowed
