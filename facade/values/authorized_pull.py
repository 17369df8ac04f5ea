"""A pull that may be answered, and through which connection."""

from attrs import frozen

from facade.values.pull_path import Pull
from shared.approved_connection import ApprovedConnection


@frozen
class AuthorizedPull:
    """An authorised pull, and the connection that it goes through."""

    pull: Pull
    connection: ApprovedConnection
