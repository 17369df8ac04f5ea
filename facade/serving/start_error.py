"""The facade cannot start, for a reason outside its configuration."""


class StartError(Exception):
    """The message says why and names the setting."""
