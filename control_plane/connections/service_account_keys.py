"""Whether a service account's RSA key is sound: made of two primes, its numbers consistent.

OpenSSL's test takes 0.2 s of a processor for 2048 bits and 1 s for 4096. Python's interpreter
stands still meanwhile, in whichever thread the test runs. So another process does it: one at a
time, and no more often for each operator than allowed.
"""

import asyncio
import subprocess
import sys
from typing import Final

from attrs import field, frozen

from control_plane.connections.request import ConnectionRequest
from control_plane.errors import FieldError, InvalidRequestError
from control_plane.operators.rate_limit import RateLimit
from shared.connection import GoogleServiceAccount
from shared.secret import Secret
from shared.upstream.credentials.google_key import INCONSISTENT, GoogleServiceAccountKey

KEYS_AT_ONCE: Final = 1  # there may be only two cores
CHECK_SECONDS: Final = 30.0  # twenty times what 4096 bits take
# It reads the key from standard input, prints nothing, and gets nothing of our environment.
_SCRIPT: Final = """
import sys
from cryptography.hazmat.primitives.serialization import load_pem_private_key
try:
    load_pem_private_key(sys.stdin.buffer.read(), password=None)
except Exception:
    sys.exit(1)
"""


@frozen
class ServiceAccountKeys:
    """Has the keys in requests checked."""

    _limit: RateLimit
    _turn: asyncio.Semaphore = field(factory=lambda: asyncio.Semaphore(KEYS_AT_ONCE), init=False)

    async def require_sound(self, request: ConnectionRequest, *, actor: str) -> None:
        """Raise `InvalidRequestError` if the key in the request is not sound.

        Raises `TooManyRequestsError` if this operator sent too many keys.
        """
        if request.secret is None or not isinstance(request.credential, GoogleServiceAccount):
            return
        self._limit.take(actor)
        async with self._turn:
            is_sound = await asyncio.to_thread(_is_sound, request.secret)
        if not is_sound:
            raise InvalidRequestError((FieldError("/service_account_key", INCONSISTENT),))


def _is_sound(secret: Secret) -> bool:
    key = GoogleServiceAccountKey.from_secret(secret)
    try:
        checked = subprocess.run(  # noqa: S603  # our own interpreter and script
            [sys.executable, "-I", "-c", _SCRIPT],
            input=key.private_key.reveal(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={},
            timeout=CHECK_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return checked.returncode == 0
