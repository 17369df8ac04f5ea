"""How files spell the API's fields: `allowedNetworks` for `allowed_networks`.

The API's schema of a request is the one source: what is added there is a field of files too.
"""

import re
from typing import Final

from control_plane.connections.request_schemas import SCHEMAS

REQUEST: Final = "ConnectionRequest"
# A secret's field, and the file's reference in its place.
REFERENCES: Final = {"token": "tokenFrom", "service_account_key": "serviceAccountKeyFrom"}
CERTIFICATE, CERTIFICATE_FROM = "caCertificate", "caCertificateFrom"
_NOT_IN_FILES: Final = frozenset({*REFERENCES, "secret_label", "set_name"})


def camel_case(name: str) -> str:
    """Return an API's name as files spell it."""
    return re.sub(r"_([a-z])", lambda found: found[1].upper(), name)


# By the API's names: the fields that files spell with their value.
PLAIN_FIELDS: Final = {
    name: camel_case(name) for name in SCHEMAS[REQUEST]["properties"] if name not in _NOT_IN_FILES
}
_OTHERS: Final = {
    **PLAIN_FIELDS,
    **REFERENCES,
    "secret_label": "version",
    "set_name": "set",
}


def file_name_of(api_name: str) -> str:
    """Return how files spell a field that the API names."""
    return _OTHERS.get(api_name, api_name)
