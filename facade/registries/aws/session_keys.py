"""Short-lived keys that AWS gives for a role."""

from attrs import field, frozen


@frozen
class SessionKeys:
    """Keys of an assumed role."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
