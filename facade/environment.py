"""OpenSSL's settings, which it reads from the environment when it is loaded."""

import os
from pathlib import Path
from typing import Final

_SETTINGS: Final = Path(__file__).with_name("openssl.cnf")
_VARIABLE: Final = "OPENSSL_CONF"


def load_openssl() -> None:
    """Load cryptography's OpenSSL with our settings; Python's own is loaded at another moment.

    pyOpenSSL cannot turn off TLS 1.3's tickets. If the operator has settings of their own (a FIPS
    provider's, say), they stay: tickets are then handed out, but still resume nothing.
    """
    if _VARIABLE in os.environ:
        return
    os.environ[_VARIABLE] = str(_SETTINGS)
    try:
        import cryptography.hazmat.bindings._rust  # noqa: F401, PLC0415 - this loads it
    finally:
        del os.environ[_VARIABLE]
