"""Why an address cannot be listened on, in the system's own words."""

import os


def why_not_listening(error: OSError) -> str:
    """Return the reason alone; the text of Python's errors repeats the address."""
    return os.strerror(error.errno) if error.errno else type(error).__name__
