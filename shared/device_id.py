"""What a device may be called: the three grammars of an id, as certificates carry them.

The facade identifies devices by them, and the control plane revokes by them: to revoke an id that
no certificate can bear would revoke nobody.
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

_SPIFFE_ID: Final = re.compile(rf"spiffe://{TRUST_DOMAIN}(?:/{SEGMENT})+", re.ASCII)


def is_device_id(text: str) -> bool:
    """Tell whether a certificate of one of the three kinds can say this of its device."""
    return len(text) <= MAX_DEVICE_ID_CHARACTERS and any(
        grammar.fullmatch(text) for grammar in (_SPIFFE_ID, DNS_NAME, SUBJECT_FIELD)
    )
