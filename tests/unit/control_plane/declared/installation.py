"""A control plane in a dictionary: the real rules of requests and edits, without a database."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import attrs
from attrs import define, field, frozen

from control_plane.connections.edit import parse_edit
from control_plane.connections.request import ConnectionRequest, parse_connection_request
from control_plane.connections.revision import RevisionLabels
from control_plane.connections.view import document_view
from control_plane.declared.plan import Does, PlannedStep
from control_plane.declared.present import PresentConnection, present_connection
from shared.canonical_json import format_time
from shared.connection import ConnectionDocument, SealedSecretReference, fingerprint
from tests.unit.control_plane.connections.test_credential_fields import account

SECRET = "canary-secret"


@frozen
class Kept:
    """A revision, as the database has it."""

    document: ConnectionDocument
    labels: RevisionLabels

    def view(self) -> dict[str, Any]:
        """Return what the API shows of it."""
        ends = self.labels.credential_expires_at
        return {
            **document_view(self.document, None),
            "set_name": self.labels.set_name,
            "secret_label": self.labels.secret_label,
            "credential_expires_at": ends and format_time(ends),
            "fingerprint": fingerprint(self.document.to_bytes()),
        }


@define
class Connection:
    """What serves, and what waits."""

    id: str
    description: str
    draft: Kept | None
    serving: Kept | None = None
    revoked: bool = False

    @property
    def newest(self) -> Kept:
        """What an edit starts from."""
        kept = self.draft or self.serving
        assert kept is not None
        return kept

    def view(self) -> dict[str, Any]:
        """Return what the API shows of it."""
        shown = self.serving or self.newest
        beside = self.draft if self.serving else None
        prefix = shown.document.repository_prefix
        return {
            **shown.view(),
            "id": self.id,
            "host": str(shown.document.host),
            "repository_prefix": str(prefix) if prefix else "",
            "status": "approved" if self.serving else "pending",
            "problem": None,
            "description": self.description,
            "connected_by": shown.document.connected_by,
            "connected_at": "2026-01-01T00:00:00.000Z",
            "draft": beside and {**beside.view(), "by": "alice", "at": "2026-01-01T00:00:00.000Z"},
        }


@define
class Installation:
    """All connections, and what a step of a plan makes of them."""

    connections: list[Connection] = field(factory=list)
    revisions: int = 0

    def present(self) -> list[PresentConnection]:
        """Return what a list of the API shows."""
        found = [present_connection(each.view()) for each in self.connections if not each.revoked]
        return [each for each in found if each is not None]

    def apply(self, step: PlannedStep) -> None:
        """Do what a step says, as the API does; it refuses what the API refuses."""
        if step.does is Does.CONNECT:
            self.connect(step.body(secret_of(step)))
        elif step.does.changes:
            assert step.present is not None
            (at,) = [each for each in self.connections if each.id == step.present.id]
            match step.does:
                case Does.CHANGE:
                    self._change(at, step.body(secret_of(step)))
                case Does.DISCARD:
                    assert at.serving is not None
                    at.draft = None
                case _:
                    at.revoked = True

    def connect(self, body: Mapping[str, object]) -> None:
        """Connect a registry."""
        request = parse_connection_request(body)
        kept = self._kept(request, None)
        connection = Connection(f"id-{self.revisions}", request.description or "", kept)
        self.connections.append(connection)

    def approve_all(self) -> None:
        """Approve every draft."""
        for each in self.connections:
            each.serving, each.draft = each.draft or each.serving, None

    def _change(self, at: Connection, patch: Mapping[str, object]) -> None:
        places = {"host", "repository_prefix"}
        assert not places & patch.keys()
        edit = parse_edit(patch, at.newest.document)
        if edit.request.description is not None:
            at.description = edit.request.description
        kept = self._kept(edit.request, at.newest)
        if edit.changes(at.newest.document) or kept.labels != at.newest.labels:
            at.draft = kept

    def _kept(self, request: ConnectionRequest, before: Kept | None) -> Kept:
        self.revisions += 1
        document = request.document(connected_by="alice", connected_at=datetime.now(UTC))
        if request.secret is not None:
            secret = SealedSecretReference(self.revisions, "0" * 16, "HPKE", "1" * 64)
            document = attrs.evolve(document, secret=secret)
        elif before is not None and document.needs_secret:
            document = attrs.evolve(document, secret=before.document.secret)
        keeps = document.secret is not None
        labels = request.labels(before.labels if before else None, keeps_secret=keeps)
        return Kept(document, labels)


def secret_of(step: PlannedStep) -> dict[str, object]:
    """Return the fields of the secret that a step needs."""
    if step.secret is None or step.wanted is None:
        return {}
    if step.wanted.body["provider"] == "google_service_account":
        return {"service_account_key": account().key_json()}
    return {"token": SECRET}
