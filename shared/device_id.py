"""What a device may be called: the grammars of an id, as certificates carry them.

The facade identifies devices by them, and the control plane revokes by them: to revoke an id that
no certificate can bear would revoke nobody. Where identity profiles are used, an id may be
`profile/value`. No other id has a slash before its first colon, so none can be read in two ways.
"""

import re
from typing import Final

MAX_DEVICE_ID_CHARACTERS: Final = 2048  # SPIFFE-ID section 2.3: at most 2048 bytes

TRUST_DOMAIN: Final = r"[a-z0-9._-]{1,255}"  # SPIFFE-ID section 2.1
SEGMENT: Final = r"(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]+"  # SPIFFE-ID section 2.2
DNS_NAME: Final = re.compile(
    r"(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*",
    re.ASCII,
)
SUBJECT_FIELD: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)  # RFC 5280 ub-common-name

SPIFFE_ID: Final = re.compile(rf"spiffe://{TRUST_DOMAIN}(?:/{SEGMENT})+", re.ASCII)

PROFILE_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?", re.ASCII)
# Of a profile alone. Any other URI than a SPIFFE id, such as `urn:uuid:...` (RFC 8141).
OTHER_URI: Final = re.compile(
    r"(?!spiffe:)[a-z][a-z0-9+.-]{0,31}:[A-Za-z0-9._~:/@+=,-]{1,2000}", re.ASCII
)
# A field of the subject or an extension: words with one space between them, such as the
# `PID:C9300 SN:FCW2233A5ZV` of a factory's certificate.
ATTRIBUTE: Final = re.compile(
    r"(?=.{1,256}\Z)[A-Za-z0-9._:@+=,-]+(?: [A-Za-z0-9._:@+=,-]+)*", re.ASCII
)


def is_device_id(text: str) -> bool:
    """Tell whether a certificate of one of the kinds, or of a profile, can say this of a device."""
    if len(text) > MAX_DEVICE_ID_CHARACTERS:
        return False
    profile, slash, value = text.partition("/")
    if slash and PROFILE_NAME.fullmatch(profile):
        return is_profile_value(value)
    return any(grammar.fullmatch(text) for grammar in (SPIFFE_ID, DNS_NAME, SUBJECT_FIELD))


def is_profile_value(text: str) -> bool:
    """Tell whether a certificate of some profile can say this of its device."""
    return len(text) <= MAX_DEVICE_ID_CHARACTERS and any(
        grammar.fullmatch(text) for grammar in (SPIFFE_ID, DNS_NAME, OTHER_URI, ATTRIBUTE)
    )
