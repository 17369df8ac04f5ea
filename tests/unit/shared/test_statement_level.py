"""What a reader of an older level would refuse is known before it is written."""

from typing import ClassVar, get_args

import attrs
import pytest
from attrs import field, frozen

from shared.connection import ConnectionDocument, Credential, SealedSecretReference
from shared.statement import Statement
from shared.statement_level import NEWEST_LEVEL, OLDEST_LEVEL, level_of, since

# What version 0.2.0 reads. A type or a field that is not here came later: it says its level, and
# is not added to this list.
LEVEL_1 = {
    "ConnectionApproval": "connection_id document fingerprint approved_by approved_at generation"
    " expires_at sealed_secret",
    "ConnectionRevocation": "connection_id revoked_by revoked_at generation reason",
    "DeviceRevocation": "revocation_id revoked_by revoked_at generation device serial issuer"
    " reason",
    "DeviceLifting": "revocation_id lifted_by lifted_at generation device serial issuer",
    "Operator": "name role token_sha256 issued_by issued_at generation expires_at",
    "OperatorRemoval": "name removed_by removed_at generation",
    "AuditEntry": "generation previous at actor action about about_generation details",
    "AuditCheckpoint": "generation entry heads_sha256 heads_bytes made_at",
    "ConnectionDocument": "host credential connected_by connected_at repository_prefix auth_realms"
    " repositories fleets plain_http allowed_networks ca_certificate secret",
    "SealedSecretReference": "version key_id suite sha256",
    "Anonymous": "",
    "UsernameAndToken": "username",
    "GoogleServiceAccount": "client_email project_id",
    "EcrRole": "role_arn account region external_id pull_through_cache",
}
WRITTEN = (
    *get_args(Statement),
    ConnectionDocument,
    SealedSecretReference,
    *get_args(Credential),
)


@frozen
class Inner:
    """A part of a statement."""

    old: str = ""
    newer: bool = field(default=False, metadata=since(3))


@frozen
class Outer:
    """A statement."""

    inner: Inner = Inner()
    several: tuple[Inner, ...] = ()
    newer: str | None = field(default=None, metadata=since(2))


@frozen
class NewType:
    """A statement that came later."""

    LEVEL: ClassVar = 4
    newer: str | None = field(default=None, metadata=since(2))


@pytest.mark.parametrize(
    "value, level",
    [
        (Outer(), 1),
        (Outer(newer="x"), 2),
        (Outer(inner=Inner("old")), 1),
        (Outer(inner=Inner(newer=True)), 3),
        (Outer(several=(Inner("a"), Inner(newer=True))), 3),
        (Outer(several=(Inner("a"),), newer="x"), 2),
        (NewType(), 4),
        (NewType(newer="x"), 4),
    ],
)
def test_a_value_asks_for_the_newest_of_what_is_written(value: object, level: int) -> None:
    """A field at its default is left out of the bytes, and asks for nothing."""
    assert level_of(value) == level


@pytest.mark.parametrize("kind", WRITTEN, ids=lambda kind: kind.__name__)
def test_what_came_after_level_1_says_its_level(kind: type) -> None:
    """An older reader refuses it, so it may not be written unless its level was allowed."""
    known = LEVEL_1.get(kind.__name__)
    if known is None:
        assert OLDEST_LEVEL < vars(kind)["LEVEL"] <= NEWEST_LEVEL, f"{kind.__name__} says no LEVEL"
        return
    fields = attrs.fields_dict(kind)
    assert set(known.split()) <= fields.keys(), "what was read once is read for ever"
    for name in fields.keys() - set(known.split()):
        level = fields[name].metadata.get("since_level")
        assert level is not None, f"{kind.__name__}.{name} says no since()"
        assert OLDEST_LEVEL < level <= NEWEST_LEVEL
        default = fields[name].default
        assert default is not attrs.NOTHING, "what older ones wrote has it not"
        assert not hasattr(default, "factory"), "a plain default, which can be compared"
