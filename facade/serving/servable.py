"""Whether what is approved can be served, and what keeps the rest from it: keys above all.

Nothing is opened here. If a secret's key is missing, it is known in advance that it does not open;
otherwise once a pull has needed it. If a secret was opened before its key was taken out, it goes on
serving until a restart. It counts as unusable, but what it serves is not stopped.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from attrs import define, field, frozen
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from facade.approvals.connection_census import SealedTo, sealed_to
from facade.approvals.refused_rows import WhyRefused
from facade.approvals.snapshot import Snapshot
from facade.metrics.problems import FacadePart, Problem, Stops
from facade.registries.refused_credentials import RefusedCredentials
from facade.registries.secret_openings import SecretOpenings
from shared.approved_connection import ApprovedConnection
from shared.sealed_secret import SUITE_NAME

ENDS_SOON: Final = timedelta(days=7)  # as for a certificate: enough time to approve again
_VANISHED: Final = "vanished"
MAX_NAMED_KEYS: Final = 3  # in words; more of them are counted

_WORDS: Final[Mapping[WhyRefused, str]] = {
    WhyRefused.UNKNOWN_KEY: "signed with a key that is not in FACADE_STATEMENT_PUBLIC_KEY_FILE",
    WhyRefused.WRONG_SIGNATURE: "changed behind the control plane's back",
    WhyRefused.UNKNOWN_TYPE: "of a type that is not known here (is the control plane newer?)",
    WhyRefused.MALFORMED: "malformed",
    WhyRefused.OTHER_SUBJECT: "copied from another row",
    WhyRefused.OLDER: "older than what was seen before (was the database restored?)",
    WhyRefused.AHEAD: "of a time more than a year ahead of this clock",
    WhyRefused.CONTRADICTION: "other than what was seen under the same number",
}


@frozen
class Census:
    """Approved connections, at one moment."""

    serving: int  # their approval has not ended
    ended: int  # by themselves
    unusable: int  # of those that serve: the secret cannot be used, or not after a restart
    still_open: int  # of the unusable: opened before their key was taken out, and serving
    missing_keys: tuple[str, ...]  # ids of keys that secrets are sealed to, and that are not here
    next_end: datetime | None  # of the approvals that serve, when the first ends by itself
    ending_soon: int  # how many of them end within `ENDS_SOON`


@define(eq=False)
class Servable:
    """What is approved, compared with the keys that this facade has."""

    _snapshot: Snapshot
    _sealing_keys: Mapping[str, X25519PrivateKey]
    _openings: SecretOpenings
    _refused: RefusedCredentials = field(factory=RefusedCredentials)
    _stores_some: Callable[[], bool] = lambda: False  # whether anything is stored that may be read

    def count_on_store(self, stores_some: Callable[[], bool]) -> None:
        """Believe from now on that what is stored can be served; the store is opened late."""
        self._stores_some = stores_some

    @property
    def unverified(self) -> int:
        """How many remembered statements were not verified yet since the start."""
        return self._snapshot.unverified

    def census(self) -> Census:
        """Count the connections as they are now, by their claims if they are not verified yet."""
        now = datetime.now(UTC)
        serving = self._snapshot.census.serving(now)
        missing = {
            key: count
            for key, count in serving.items()
            if key is not None and count and not self._has(key)
        }
        still_open = 0
        if missing:
            opened = self._current(self._openings.opened, now)
            still_open = sum(1 for key in opened if key in missing)
        return Census(
            sum(serving.values()),
            self._snapshot.census.ended(now),
            sum(missing.values()) + self._failed(now),
            still_open,
            tuple(sorted({key.key_id for key in missing})),
            self._snapshot.census.next_end(now),
            self._snapshot.census.ending(now, now + ENDS_SOON),
        )

    def refused_credentials(self) -> Counter[str]:
        """Return of how many connections that serve the credential is refused, by host."""
        refused = self._serving(self._refused.items(), datetime.now(UTC))
        return Counter(str(connection.document.host) for connection in refused)

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong with the statements and with the sealing key."""
        census = self.census()
        stops = Stops.SOME if self._can_serve(census) else Stops.ALL
        yield from self._statements(census, stops)
        if census.unusable:
            words = f"{census.unusable} of {census.serving} connections' secrets cannot be used"
            yield Problem(
                FacadePart.SEALING_KEY,
                stops,
                f"{words}: {_why_unusable(census)}",
                kind=",".join(census.missing_keys),
            )

    def _can_serve(self, census: Census) -> bool:
        """Tell whether a connection is served, at least with what is stored."""
        shut = census.unusable - census.still_open
        return census.serving > shut or (census.serving > 0 and self._stores_some())

    def _statements(self, census: Census, stops: Stops) -> Iterator[Problem]:
        rows, vanished = self._snapshot.refused_rows, self._snapshot.remembered.vanished_connections
        connections, devices = +rows.of_connections, +rows.of_devices
        said = []
        if connections:
            said.append(
                f"{connections.total()} rows of connections are not believed"
                f" ({_why_refused(connections)}), {census.serving} connections are served"
            )
        if devices:
            said.append(
                f"{devices.total()} rows of revoked devices are not believed"
                f" ({_why_refused(devices)})"
            )
        if more := rows.beyond.total():
            said.append(f"{more} more rows are not believed, of subjects that nobody knows")
        if vanished:
            said.append(
                f"{vanished} approved connections are in the database no more, and count as revoked"
                " (does FACADE_DATABASE_URL name another database, or was it restored?)"
            )
        if said:
            kinds = sorted({*connections, *devices, *([_VANISHED] if vanished else [])})
            yield Problem(
                FacadePart.STATEMENTS,
                stops if rows.would_serve or vanished else Stops.SOME,
                "; ".join(said),
                kind=",".join(kinds),
            )

    def _has(self, key: SealedTo) -> bool:
        return key.key_id in self._sealing_keys and key.suite == SUITE_NAME

    def _failed(self, now: datetime) -> int:
        """Return how many secrets did not open although their key is there."""
        return sum(1 for key in self._current(self._openings.failed, now) if self._has(key))

    def _current(self, openings: Mapping[str, str], now: datetime) -> Iterator[SealedTo]:
        """Yield the keys that secrets are sealed to, of openings for connections that serve now."""
        for connection in self._serving(openings.items(), now):
            if (key := sealed_to(connection)) is not None:
                yield key

    def _serving(
        self, noted: Iterable[tuple[str, str]], now: datetime
    ) -> Iterator[ApprovedConnection]:
        """Yield the connections that serve now, of subjects noted with their access key."""
        for subject, access_key in noted:
            connection = self._snapshot.serving(subject)
            if connection is None or connection.access_key != access_key:
                continue
            if connection.expires_at is None or connection.expires_at > now:
                yield connection


def _why_refused(reasons: Counter[WhyRefused]) -> str:
    return ", ".join(f"{count} {_WORDS[why]}" for why, count in sorted(reasons.items()))


def _why_unusable(census: Census) -> str:
    """Say which keys are missing; if none is, the seals themselves are wrong."""
    if not census.missing_keys:
        return "they do not open, or are not what was approved; enter them again, and approve that"
    named, more = census.missing_keys[:MAX_NAMED_KEYS], len(census.missing_keys) - MAX_NAMED_KEYS
    keys = ", ".join(named) + (f" and {more} more" if more > 0 else "")
    words = f"sealed to {keys}, not in FACADE_SEALING_PRIVATE_KEY_FILE"
    if not census.still_open:
        return words
    opened = f"{census.still_open} of them, opened before the key was taken out, serve"
    return f"{words}; {opened} until this facade restarts: put the key back, or rotate them"
