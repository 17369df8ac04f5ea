"""A login of a browser that has begun, as it is sealed into a cookie until the browser comes back.

No table holds it: only the browser that began a login can end it, within some minutes, and each
control plane of the installation can take the answer. Pure, but for the seal.
"""

from datetime import datetime, timedelta
from typing import Final

import orjson
from attrs import field, frozen

from control_plane.sessions.session_seal import SessionSeal, UnknownSessionError
from control_plane.single_sign_on.authorization import CodeRequest, LoginFailedError
from shared.outside_bytes import Party, reads_bytes_of
from shared.secret import Secret

LOGIN_SECONDS: Final = 600.0  # for a person who logs in there, perhaps with a second factor
_PURPOSE: Final = b"registry-facade console login/1"
_LOST: Final = (
    "this browser did not begin the login, or began it more than"
    f" {LOGIN_SECONDS / 60:.0f} minutes ago, or in another window: begin again"
)


@frozen
class BegunLogin:
    """What has to fit when the browser comes back, and where it goes then."""

    request: CodeRequest = field(repr=False)
    after: str
    began_at: datetime

    def sealed(self, seal: SessionSeal) -> str:
        """Return the cookie's value."""
        request = self.request
        members = {
            "state": request.state,
            "nonce": request.nonce,
            "verifier": request.verifier.reveal_text(),
            "redirect_uri": request.redirect_uri,
            "after": self.after,
            "began_at": self.began_at,
        }
        return seal.seal_content(orjson.dumps(members), _PURPOSE)


@reads_bytes_of(Party.STRANGER)
def begun_login(cookie: str | None, seal: SessionSeal, at: datetime) -> BegunLogin:
    """Return the login that a browser began; raise `LoginFailedError`."""
    try:
        members = orjson.loads(seal.read_content(cookie or "", _PURPOSE))
        begun = BegunLogin(
            CodeRequest(
                members["state"],
                members["nonce"],
                Secret(members["verifier"]),
                members["redirect_uri"],
            ),
            members["after"],
            datetime.fromisoformat(members["began_at"]),
        )
    except (UnknownSessionError, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        raise LoginFailedError(_LOST) from None
    if not timedelta() <= at - begun.began_at < timedelta(seconds=LOGIN_SECONDS):
        raise LoginFailedError(_LOST)
    return begun
