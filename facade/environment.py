"""What OpenSSL is loaded with: it reads its settings at that moment, and from the environment."""

import os
from pathlib import Path
from typing import Final

_SETTINGS: Final = Path(__file__).with_name("openssl.cnf")
_VARIABLE: Final = "OPENSSL_CONF"


def load_openssl() -> None:
    """Load cryptography's OpenSSL with our settings; Python's own is loaded at another moment.

    pyOpenSSL cannot turn TLS 1.3's tickets off. Settings of the operator's are left alone, a FIPS
    provider's for example: then tickets are handed out, and still resume nothing.
    """
    if _VARIABLE in os.environ:
        return
    os.environ[_VARIABLE] = str(_SETTINGS)
    try:
        import cryptography.hazmat.bindings._rust  # noqa: F401, PLC0415 - this loads it
    finally:
        del os.environ[_VARIABLE]
