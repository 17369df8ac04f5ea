"""What is there, as a file that `apply` reads and finds nothing to do. Pure.

Secrets are references to fill in: a variable for each, and the version that is there now.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from control_plane.declared.field_names import PLAIN_FIELDS, REFERENCES
from control_plane.declared.layers import CONNECTIONS, SET
from control_plane.declared.present import PresentConnection, PresentRevision
from shared.connection import Provider
from shared.yaml_text import yaml_text

HEADER: Final = (
    "# Made by `control-plane export`. Secrets are no part of it: fill in where each is read, and\n"
    "# change a version only if its secret is a new one. `control-plane schema` says the rest.\n"
)
_DEFAULTS: Final[tuple[object, ...]] = (None, "", [], False)

Exported = dict[str, Any]


def exported(present: Sequence[PresentConnection]) -> Exported:
    """Return the file's value: each connection's newest revision, without what is a default.

    Ones of which nothing is believed are left out. The set is named if all are of one.
    """
    believed = [(each, newest) for each in present if (newest := each.newest) is not None]
    variables = _variables(_place(each) for each, _ in believed)
    sets = {revision.set_name for _, revision in believed}
    value: Exported = {}
    if len(sets) == 1 and (name := next(iter(sets))) is not None:
        value[SET] = name
    value[CONNECTIONS] = {
        place: _fields(each, revision, variable)
        for (each, revision), (place, variable) in zip(believed, variables, strict=True)
    }
    return value


def export_text(value: Exported) -> str:
    """Return the YAML that this program, and any other reader of YAML, reads as the value."""
    return f"{HEADER}{yaml_text(value)}"


def _place(present: PresentConnection) -> str:
    return f"{present.host}/{present.prefix}" if present.prefix else present.host


def _fields(
    present: PresentConnection, revision: PresentRevision, variable: str
) -> dict[str, object]:
    body = {**revision.body, "host": present.host, "repository_prefix": present.prefix}
    fields: dict[str, object] = {
        file_name: body[name]
        for name, file_name in PLAIN_FIELDS.items()
        if name in body and body[name] not in _DEFAULTS
    }
    if body["provider"] == Provider.AWS_ECR and body.get("external_id") is None:
        fields[PLAIN_FIELDS["external_id"]] = ""
    if revision.secret_version is not None:
        is_key = body["provider"] == Provider.GOOGLE_SERVICE_ACCOUNT
        name = REFERENCES["service_account_key" if is_key else "token"]
        fields[name] = {"env": variable, "version": revision.secret_version}
    return fields


def _variables(places: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each place with the name of a variable that no other has."""
    taken = set[str]()
    for place in places:
        base = f"REGISTRY_{re.sub('[^A-Z0-9]+', '_', place.upper())[:200]}"
        name, number = f"{base}_TOKEN", 2
        while name in taken:
            name, number = f"{base}_{number}_TOKEN", number + 1
        taken.add(name)
        yield place, name
