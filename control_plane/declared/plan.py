"""What has to be done so that what is there becomes what files want. Pure.

Each connection of the files is found by its place, host and prefix:

- it is not there               -> connect it
- its newest revision differs   -> change it: a draft, and what serves goes on serving
- a draft waits, and what serves is what the files want -> discard the draft
- a draft waits that is what the files want -> wait for an approver
- otherwise                     -> nothing

With `prune`, what was approved as a connection of this set and is not in its files is revoked. A
connection of another set is refused, unless it is to be taken over.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Final

from attrs import field, frozen

from control_plane.declared.declared_set import DeclaredConnection, DeclaredSet
from control_plane.declared.present import PresentConnection, PresentRevision, RequestFields
from control_plane.declared.secret_reference import SecretReference
from shared.connection import Provider

# What decides who is shown the secret: it is needed again if one of these changes.
_BOUND: Final = frozenset(
    {"provider", "username", "auth_realms", "plain_http", "allowed_networks", "ca_certificate"}
)
SET_NAME: Final = "set_name"


class Does(Enum):
    """What is done about one connection."""

    CONNECT = "connect"
    CHANGE = "change"
    DISCARD = "discard the draft"
    WAIT = "wait for approval"
    NOTHING = "nothing"
    REVOKE = "revoke"
    REFUSE = "refuse"

    @property
    def changes(self) -> bool:
        """Whether the control plane is asked to change anything."""
        return self in _CHANGING


_CHANGING: Final = frozenset({Does.CONNECT, Does.CHANGE, Does.DISCARD, Does.REVOKE})


@frozen
class FieldChange:
    """A field of the API's, before and after; None is a field that is not there."""

    name: str
    before: object
    after: object


@frozen
class SecretChange:
    """A secret that is read and given anew, and why."""

    reference: SecretReference
    before: str | None  # what the present one is called
    because: tuple[str, ...] = ()  # the fields for which the same one is needed again


@frozen
class PlannedStep:
    """What is done about one connection."""

    does: Does
    host: str
    prefix: str
    wanted: DeclaredConnection | None = None
    present: PresentConnection | None = None
    fields: tuple[FieldChange, ...] = ()
    secret: SecretChange | None = None
    set_name: str | None = None  # of the files
    why: str = ""

    @property
    def place(self) -> str:
        """`host` or `host/prefix`, as people name it."""
        return f"{self.host}/{self.prefix}" if self.prefix else self.host

    @property
    def fingerprint(self) -> str | None:
        """What an approval of the draft that waits would name."""
        draft = self.present.draft if self.present else None
        return draft.fingerprint if draft and self.does is Does.WAIT else None

    def body(self, secret: Mapping[str, object]) -> dict[str, object]:
        """Return the body of the call, with the fields of the secret that was read."""
        if self.wanted is None:
            raise ValueError("there is no body for what the files do not want")
        gone = {each.name: None for each in self.fields if each.after is None}
        body = {**gone, **self.wanted.body, **secret}
        if self.does is Does.CONNECT:
            body |= {"host": self.host, "repository_prefix": self.prefix}
        if self.set_name is not None:
            body[SET_NAME] = self.set_name
        if self.secret is not None:
            body["secret_label"] = self.secret.reference.version
        return body


@frozen
class Plan:
    """All steps, in the order of the files; what is revoked comes last."""

    set_name: str | None
    steps: tuple[PlannedStep, ...] = field(default=())

    def of(self, *does: Does) -> tuple[PlannedStep, ...]:
        """Return the steps of these kinds."""
        return tuple(step for step in self.steps if step.does in does)

    @property
    def changes(self) -> bool:
        """Whether anything is to be done."""
        return any(step.does.changes for step in self.steps)


def plan(
    wanted: DeclaredSet,
    present: Sequence[PresentConnection],
    *,
    prune: bool = False,
    take_over: bool = False,
) -> Plan:
    """Return what has to be done. Without a set's name nothing is ever pruned."""
    by_place = {each.place: each for each in present}
    steps = [
        _step(each, by_place.get(each.place), wanted.name, take_over=take_over)
        for each in wanted.connections
    ]
    if prune and wanted.name is not None:
        places = {each.place for each in wanted.connections}
        steps += _pruned(present, places, wanted.name)
    return Plan(wanted.name, tuple(steps))


def _pruned(
    present: Sequence[PresentConnection], places: set[tuple[str, str]], set_name: str
) -> Iterator[PlannedStep]:
    for each in present:
        if each.set_name == set_name and each.problem is None and each.place not in places:
            yield PlannedStep(Does.REVOKE, each.host, each.prefix, present=each, set_name=set_name)


def _step(
    wanted: DeclaredConnection,
    present: PresentConnection | None,
    set_name: str | None,
    *,
    take_over: bool,
) -> PlannedStep:
    def step(does: Does, why: str = "") -> PlannedStep:
        return PlannedStep(
            does, wanted.host, wanted.prefix, wanted, present, set_name=set_name, why=why
        )

    newest = present.newest if present else None
    if present is None:
        return _connecting(wanted, set_name)
    if newest is None:
        return step(Does.REFUSE, present.problem or "nothing of it is believed")
    others = {newest.set_name, present.set_name} - {None}
    if set_name and others and set_name not in others and not take_over:
        owner = present.set_name or newest.set_name
        return step(
            Does.REFUSE, f"it belongs to the set {owner}; --take-over takes it into {set_name}"
        )
    if not _differences(wanted, newest, set_name) and _secret(wanted, newest, ()) is None:
        sent_back = present.draft.sent_back if present.draft else None
        return step(Does.WAIT if present.draft else Does.NOTHING, sent_back or "")
    serving = present.serving
    if (
        present.draft
        and serving
        and not _differences(wanted, serving, set_name)
        and _secret(wanted, serving, ()) is None
    ):
        return step(Does.DISCARD)
    fields = _differences(wanted, newest, set_name)
    secret = _secret(wanted, newest, tuple(each.name for each in fields))
    return PlannedStep(
        Does.CHANGE, wanted.host, wanted.prefix, wanted, present, fields, secret, set_name
    )


def _connecting(wanted: DeclaredConnection, set_name: str | None) -> PlannedStep:
    fields = tuple(
        FieldChange(name, None, value)
        for name, value in wanted.body.items()
        if value not in (None, "", [], False)
    )
    if set_name is not None:
        fields += (FieldChange(SET_NAME, None, set_name),)
    secret = SecretChange(wanted.secret, None) if wanted.secret else None
    return PlannedStep(
        Does.CONNECT, wanted.host, wanted.prefix, wanted, None, fields, secret, set_name
    )


def _differences(
    wanted: DeclaredConnection, present: PresentRevision, set_name: str | None
) -> tuple[FieldChange, ...]:
    before: RequestFields = present.body
    after: RequestFields = wanted.body
    names = [*after, *(name for name in before if name not in after)]
    keeps_role = wanted.body["provider"] == before["provider"] == Provider.AWS_ECR
    if "external_id" not in after and keeps_role:
        names = [name for name in names if name != "external_id"]
    changes = [
        FieldChange(name, before.get(name), after.get(name))
        for name in names
        if not _alike(before.get(name), after.get(name))
    ]
    if set_name is not None and present.set_name != set_name:
        changes.append(FieldChange(SET_NAME, present.set_name, set_name))
    return tuple(changes)


def _alike(before: object, after: object) -> bool:
    """Tell whether two values mean the same; the order of a list means nothing."""
    if isinstance(before, list) and isinstance(after, list):
        return set(before) == set(after)
    return before == after


def _secret(
    wanted: DeclaredConnection, present: PresentRevision, changed: tuple[str, ...]
) -> SecretChange | None:
    """Return the secret that has to be given: a new one, or the same for what it is bound to."""
    if wanted.secret is None:
        return None
    bound = tuple(name for name in changed if name in _BOUND)
    if wanted.secret.version == present.secret_version and not bound:
        return None
    because = bound if wanted.secret.version == present.secret_version else ()
    return SecretChange(wanted.secret, present.secret_version, because)
