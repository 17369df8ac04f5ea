"""Fleet x repository x connection: every combination, against tables written out by hand.

Nothing here matches a pattern, splits a name or sorts a prefix: what each prefix covers and each
pattern matches is written down, and the oracle looks it up.
"""

from collections.abc import Iterator
from datetime import timedelta
from itertools import product

import attrs
import pytest

from facade.approvals.access import DenialReason, authorize_pull
from facade.approvals.connection_index import ConnectionIndex
from facade.values.device_identity import DeviceIdentity
from facade.values.pull_path import Pull
from shared.approved_connection import ApprovedConnection
from shared.connection import Anonymous, ConnectionDocument
from shared.oci import Kind, RepositoryName
from shared.registry_host import RegistryHost
from shared.repository_pattern import RepositoryPattern
from tests.unit.facade.strategies import DIGEST, HOST, NOW, approved

REPOSITORIES = (
    "team",
    "team/app",
    "team/app/debug",
    "team/other",
    "team-b/app",
    "teammate/app",
    "app",
    "library/app",
)
# Longest first, which is the order of precedence.
COVERED = {
    "team/app": {"team/app", "team/app/debug"},
    "team": {"team", "team/app", "team/app/debug", "team/other"},
    None: set(REPOSITORIES),
}
MATCHED = {
    "team/app": {"team/app"},
    "team/*": {"team/app", "team/other"},
    "team/**": {"team/app", "team/app/debug", "team/other"},
    "*/app": {"team/app", "team-b/app", "teammate/app", "library/app"},
    "app": {"app"},
}
PATTERNS = ((), ("team/app",), ("team/**",), ("*/app", "app"), ("team/*", "team/app"))
FLEETS = ((), ("line-a",), ("line-a", "line-b"))
DEVICE_FLEETS = ("line-a", "line-b", "line", "LINE-A", None)


@attrs.frozen
class Scope:
    """A connection's prefix and scope, as texts."""

    prefix: str | None
    patterns: tuple[str, ...]
    fleets: tuple[str, ...]

    def connection(self, number: int, host: RegistryHost = HOST) -> ApprovedConnection:
        """Return an approved connection of this scope."""
        document = ConnectionDocument(
            host,
            Anonymous(),
            connected_by="alice",
            connected_at=NOW,
            repository_prefix=RepositoryName.parse(self.prefix) if self.prefix else None,
            repositories=tuple(map(RepositoryPattern.parse, self.patterns)),
            fleets=self.fleets,
        )
        return approved(document, number=number)


def oracle(repository: str, fleet: str | None, scopes: list[Scope]) -> Scope | DenialReason:
    """Return the one scope that serves, or why none does."""
    by_prefix = {scope.prefix: scope for scope in scopes}
    for prefix, covered in COVERED.items():
        if prefix not in by_prefix or repository not in covered:
            continue
        scope = by_prefix[prefix]
        if scope.patterns and not any(repository in MATCHED[each] for each in scope.patterns):
            return DenialReason.REPOSITORY
        if scope.fleets and fleet not in scope.fleets:
            return DenialReason.FLEET
        return scope
    return DenialReason.NOT_CONNECTED


def places() -> Iterator[list[Scope]]:
    """Give every set of connections of one host, at most one of each prefix."""
    choices = [
        [None, *(Scope(prefix, patterns, fleets) for patterns, fleets in product(PATTERNS, FLEETS))]
        for prefix in COVERED
    ]
    for chosen in product(*choices):
        yield [scope for scope in chosen if scope is not None]


CONNECTIONS = {
    scope: scope.connection(number)
    for number, scope in enumerate({each for scopes in places() for each in scopes}, start=1)
}
PULLS = {name: Pull(HOST, RepositoryName.parse(name), Kind.BLOB, DIGEST) for name in REPOSITORIES}
DEVICES = {fleet: DeviceIdentity("press-7", fleet, "abc", NOW) for fleet in DEVICE_FLEETS}


def wrong_decisions(scopes: list[Scope]) -> Iterator[tuple[object, ...]]:
    """Yield each decision on the set's repositories and devices that is not the oracle's."""
    index = ConnectionIndex()
    for scope in scopes:
        index.add(CONNECTIONS[scope])
    for name, pull in PULLS.items():
        candidates = index.covering(pull.host, pull.repository)
        for fleet, device in DEVICES.items():
            expected = oracle(name, fleet, scopes)
            decision = authorize_pull(pull, device, candidates, NOW)
            wanted = CONNECTIONS[expected] if isinstance(expected, Scope) else expected
            if decision != wanted:
                yield scopes, name, fleet, decision, expected


def test_every_decision_is_the_one_that_was_written_down() -> None:
    """4,096 sets of connections, 8 repositories, 5 kinds of devices."""
    assert next((wrong for scopes in places() for wrong in wrong_decisions(scopes)), None) is None


def test_the_matrix_has_every_outcome_many_times() -> None:
    """A table that refuses everything would prove nothing."""
    seen: dict[object, int] = {}
    for scopes, name, fleet in product(places(), REPOSITORIES, DEVICE_FLEETS):
        outcome = oracle(name, fleet, scopes)
        key = "served" if isinstance(outcome, Scope) else outcome
        seen[key] = seen.get(key, 0) + 1
    assert seen.keys() == {
        "served",
        DenialReason.NOT_CONNECTED,
        DenialReason.REPOSITORY,
        DenialReason.FLEET,
    }
    assert min(seen.values()) > 1000


@pytest.mark.parametrize("pattern", MATCHED)
def test_each_pattern_matches_what_was_written_down(pattern: str) -> None:
    """The table and the matcher, name by name."""
    parsed = RepositoryPattern.parse(pattern)
    matched = {name for name in REPOSITORIES if parsed.matches(RepositoryName.parse(name))}
    assert matched == MATCHED[pattern]


@pytest.mark.parametrize("scope", [Scope(None, (), ()), Scope("team", ("team/**",), ("line-a",))])
def test_another_hosts_connections_never_serve(scope: Scope) -> None:
    """Whatever they allow."""
    index = ConnectionIndex()
    index.add(scope.connection(1, RegistryHost.parse("other.example")))
    for pull, device in product(PULLS.values(), DEVICES.values()):
        candidates = index.covering(pull.host, pull.repository)
        decision = authorize_pull(pull, device, candidates, NOW)
        assert decision is DenialReason.NOT_CONNECTED


@pytest.mark.parametrize("fleets", FLEETS)
def test_an_expired_connection_refuses_before_its_scope_is_looked_at(
    fleets: tuple[str, ...],
) -> None:
    """And still keeps its place: a shorter prefix does not serve in its stead."""
    index = ConnectionIndex()
    index.add(CONNECTIONS[Scope(None, (), ())])
    expired = CONNECTIONS[Scope("team", (), fleets)]
    index.add(attrs.evolve(expired, expires_at=NOW - timedelta(seconds=1)))
    for (name, pull), device in product(PULLS.items(), DEVICES.values()):
        candidates = index.covering(pull.host, pull.repository)
        decision = authorize_pull(pull, device, candidates, NOW)
        if name in COVERED["team"]:
            assert decision is DenialReason.EXPIRED
        else:
            assert isinstance(decision, ApprovedConnection)
