"""Asking our own servers on this machine.

By itself `urllib` would use a proxy that a developer has set, which cannot reach our servers.
"""

import ssl
import urllib.request
from http.client import HTTPResponse

ASK_SECONDS = 5.0


def ask(
    url: str, context: ssl.SSLContext | None = None, *, seconds: float = ASK_SECONDS
) -> HTTPResponse:
    """Open a URL of ours; raise `OSError`, of which `HTTPError` is an answer that is no success."""
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    answer: HTTPResponse = opener.open(url, timeout=seconds)
    return answer
