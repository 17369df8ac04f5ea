"""What to type instead of a Google key that was pasted as a token. Pure; the key is not quoted.

Google's own pages have people log in as `_json_key` with the key file as the password, or as
`_json_key_base64` with its base64. Both have several lines, and a token of HTTP Basic has one.
"""

import binascii
from base64 import b64decode
from collections.abc import Mapping
from typing import Final

import orjson

from control_plane.connections.google_host import InvalidGoogleHostError, require_google_host
from shared.registry_host import RegistryHost

# <https://cloud.google.com/artifact-registry/docs/docker/authentication#json-key>
_BASE64_USERNAME: Final = "_json_key_base64"
_USERNAMES: Final = frozenset({"_json_key", _BASE64_USERNAME})
_KEY_TYPE: Final = "service_account"


def google_key_hint(token: str, username: str | None, host: RegistryHost | None) -> str | None:
    """Return what to do about a token that cannot be sent; None if it is no Google key.

    The provider is suggested only for hosts that accept it: Google's.
    """
    key = _json_object(token) or _json_object(_decoded(token))
    if key is None and username not in _USERNAMES:
        return None
    if key is not None and key.get("type") != _KEY_TYPE:
        return None
    if host is not None and _is_google(host):
        return (
            "this is a Google key of several lines: set provider to google_service_account, and"
            " give the key's JSON as service_account_key, without username and token"
        )
    tool = "base64 -w0" if username == _BASE64_USERNAME else "jq -c ."
    return f"this is a Google key of several lines, and a token has one line: `{tool} key.json`"


def _is_google(host: RegistryHost) -> bool:
    try:
        require_google_host(host)
    except InvalidGoogleHostError:
        return False
    return True


def _json_object(text: str | bytes) -> Mapping[str, object] | None:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:  # its `doc` holds the key
        return None
    return value if isinstance(value, dict) and value else None


def _decoded(text: str) -> bytes:
    try:
        return b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):  # ValueError: what is not ASCII
        return b""
