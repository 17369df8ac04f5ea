"""Which fields a log line may have, and what of each is shown: an allow-list.

A field that is not in the table keeps its name and loses its value, whatever it is. So does a value
of another type than the table says. To log something new, add it to the table, with the reason why
it holds no secret and nothing unbounded that a registry or a device made up.
"""

from collections.abc import Callable
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Final
from uuid import UUID

from shared.oci import Digest, RepositoryName
from shared.registry_host import RegistryHost
from shared.secret import REDACTED
from shared.setting_types import ListenAddress

MAX_TEXT_CHARACTERS: Final = 512  # the longest legitimate text is an identity URI of 255 or so
MAX_LIST_ITEMS: Final = 32  # a log line is read by people
MAX_NUMBER: Final = 2**53  # exact in every JSON reader

Shown = str | int | float | bool | list["Shown"] | None

# Values of our own that are parsed, bounded and hold no secret: shown as their text.
_OWN_VALUES: Final = (
    Digest,
    RepositoryName,
    RegistryHost,
    ListenAddress,
    UUID,
    IPv4Address,
    IPv6Address,
    IPv4Network,
    IPv6Network,
    Path,
)


def text(value: object) -> Shown:
    """Return a bounded text without control characters; redact what is neither text nor ours."""
    if type(value) is str:
        is_clean = len(value) <= MAX_TEXT_CHARACTERS and value.isprintable()
        return value if is_clean else bounded_text(value)
    if isinstance(value, StrEnum):
        return bounded_text(value.value)
    return bounded_text(str(value)) if isinstance(value, _OWN_VALUES) else REDACTED


def word(value: object) -> Shown:
    """Return a word of one of our own enumerations; redact anything else."""
    return bounded_text(value.value) if isinstance(value, StrEnum) else REDACTED


def number(value: object) -> Shown:
    """Return a whole number or one of three decimals; redact anything else."""
    if type(value) is int and abs(value) <= MAX_NUMBER:
        return value
    return round(value, 3) if type(value) is float else REDACTED


def flag(value: object) -> Shown:
    """Return a truth value; redact anything else."""
    return value if type(value) is bool else REDACTED


def texts(value: object) -> Shown:
    """Return a list of bounded texts; redact anything else."""
    if not isinstance(value, list | tuple | set | frozenset):
        return REDACTED
    return [text(item) for item in list(value)[:MAX_LIST_ITEMS]]


def bounded_text(value: str) -> str:
    """Return at most `MAX_TEXT_CHARACTERS`, with everything unprintable written as an escape."""
    if len(value) <= MAX_TEXT_CHARACTERS and value.isprintable():
        return value
    if len(value) > MAX_TEXT_CHARACTERS:
        value = f"{value[:MAX_TEXT_CHARACTERS]}..."
    # Control characters steer terminals, bidirectional ones lie to readers, surrogates are no JSON.
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in value
    )


def shown(field: str, value: object) -> Shown:
    """Return what a line shows of a field's value."""
    show = FIELDS.get(field)
    if show is None:
        return REDACTED
    return None if value is None else show(value)


FIELDS: Final[dict[str, Callable[[object], Shown]]] = {
    # Who asks. From a verified certificate or a verified operator, or made by us.
    "request_id": text,
    "device": text,
    "fleet": text,
    "serial": text,
    "peer": text,  # the asker's network address
    # What a refused certificate claims: escaped and bounded. It is nobody's identity.
    "presented_device": text,
    "presented_serial": text,
    "presented_subject": text,
    "presented_issuer": text,
    "presented_ca": text,
    "unknown_ca": text,
    "actor": text,
    "actor_name": text,  # how people call a person of single sign-on
    "role": text,
    # What is asked: parsed values, or our own words for a refusal.
    "host": text,
    "repository": text,
    "digest": text,
    "reference": text,  # a tag, or a digest that is not served; each fits its grammar
    "kind": text,
    "method": text,
    "route": text,  # the name of a route, never the path that was asked
    "media_type": text,
    "ranged": flag,
    # What became of it: our own words and numbers.
    "status": number,
    "code": text,
    "reason": text,  # our own words, never a registry's answer or a foreign exception
    "outcome": text,
    "source": word,  # of a pull's bytes; of a library's line, the place in its code
    "problems": texts,
    "bytes": number,
    "size": number,
    "offset": number,
    "count": number,
    "sampled": number,
    "limit": number,
    "duration_ms": number,
    "age_s": number,
    "retry_after_s": number,
    "expires_in_s": number,
    "expires_at": text,
    "attempt": number,
    # Signed statements: verified, or the public half of what was refused.
    "connection": text,
    "connections": number,
    "provider": text,
    "generation": number,
    "subject": text,
    "statement_type": text,
    "key_id": text,
    "fingerprint": text,
    "action": text,
    # How upstream is spoken to. Hosts and addresses that the approver saw or that were resolved.
    # Realms and redirects are shown by their host alone, because their paths and queries carry
    # signatures.
    "address": text,
    "scheme": text,  # Basic, Bearer or none; also http or https
    "realm_host": text,
    "redirect_host": text,
    "hop": number,
    "upstream_status": number,
    "target": text,  # the name of a target of webhooks; never its URL
    # The process itself.
    "part": text,  # of what the process stands on
    "stops": text,  # how much of the work a problem stops
    "step": text,
    "state": text,
    "signal": text,
    "listen": text,
    "version": text,
    "variable": text,  # a setting's name, never its value
    "path": text,  # of a configured file or folder, never of a request
    "file_limit": number,
    "sqlstate": text,
    "error": text,  # the name of an exception's type
}
