"""The mark of an error whose message may be logged and shown to an operator."""


class SafeMessage:
    """A mixin for our own exceptions: `str(error)` quotes no secret and nothing from outside.

    The log prints the message of such an error. Of any other error it prints only the type.
    """
