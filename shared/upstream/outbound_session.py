"""Sessions with others than registries: Google, a provider of single sign-on, webhooks' targets.

Nothing of an answer is remembered, unpacked or followed, and its head is bounded.
"""

import aiohttp

from shared.upstream.transport import MAX_HEADER_BYTES, MAX_HEADERS


def outbound_session(
    connector: aiohttp.BaseConnector,
    *,
    user_agent: str,
    accept: str | None = None,
    seconds: float | None = None,
) -> aiohttp.ClientSession:
    """Return a session; `seconds` bounds each request, if its caller does not.

    The caller closes it. No variable of the environment names a proxy for it.
    """
    accepted = {} if accept is None else {"Accept": accept}
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=seconds),
        headers={"User-Agent": user_agent, "Accept-Encoding": "identity", **accepted},
        auto_decompress=False,
        trust_env=False,
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
        max_headers=MAX_HEADERS,
    )
