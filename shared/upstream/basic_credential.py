"""A user name and its token, as a connection with static credentials has them (RFC 7617)."""

from base64 import b64encode

from attrs import field, frozen

from shared.secret import Secret


@frozen
class BasicCredential:
    """A user name, never with a colon, and its password or token."""

    username: str = field()
    token: Secret

    @username.validator
    def _has_no_colon(self, _: object, username: str) -> None:
        # RFC 7617 section 2: the first colon ends the user name; what follows would leak into it.
        if ":" in username:
            raise ValueError("a user name for Basic holds no colon")

    def authorization(self) -> Secret:
        """Return the value of `Authorization`; user name and token are sent as UTF-8."""
        pair = self.username.encode() + b":" + self.token.reveal()
        return Secret(b"Basic " + b64encode(pair))


def bearer_authorization(token: Secret) -> Secret:
    """Return the value of `Authorization` for an access token (RFC 6750 section 2.1)."""
    return Secret(b"Bearer " + token.reveal())
