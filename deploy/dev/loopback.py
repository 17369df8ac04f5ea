"""Asking our own servers on this machine.

`urllib` would take the proxy that a developer has set for other programs: it cannot reach them.
"""

import ssl
import urllib.request
from http.client import HTTPResponse

ASK_SECONDS = 5.0


def ask(url: str, context: ssl.SSLContext | None = None) -> HTTPResponse:
    """Open a URL of ours; raise `OSError`, and of these `HTTPError` for an answer that is none."""
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    answer: HTTPResponse = opener.open(url, timeout=ASK_SECONDS)
    return answer
