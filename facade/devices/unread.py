"""Whether a device has sent something that the facade has not read yet."""

import socket


def has_unread(waiting: socket.socket) -> bool:
    """Tell whether something came that was not read yet: bytes, or the end."""
    try:
        waiting.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a reset, which the handshake is about to meet
    return True
