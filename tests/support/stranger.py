"""A stranger at the control plane, with well-formed tokens: of invented names, or old ones."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Iterable

import aiohttp

from control_plane.operators.operator_token import OperatorName, OperatorToken

AT_ONCE = 120  # an address has 128 connections


async def invented_logins(url: str, count: int, *, path: str = "/v1/connections") -> Counter[int]:
    """Send so many requests, each with the token of another name; return the answers' statuses."""
    names = (OperatorName(f"n{uuid.uuid4().hex}") for _ in range(count))
    return await logins(url, map(OperatorToken.mint, names), path=path)


async def logins(
    url: str, tokens: Iterable[OperatorToken], *, path: str = "/v1/connections"
) -> Counter[int]:
    """Send a request with each token, some at once; return the answers' statuses."""
    statuses: Counter[int] = Counter()
    given = iter(tokens)
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def send_some() -> None:
            for token in given:
                headers = {"Authorization": f"Bearer {token.secret.reveal_text()}"}
                async with session.get(f"{url}{path}", headers=headers) as response:
                    await response.read()
                    statuses[response.status] += 1

        await asyncio.gather(*(send_some() for _ in range(AT_ONCE)))
    return statuses
