"""Which device revocation a person means: by id, an unambiguous beginning of it, or the device.

8d0c…                       the id, or its beginning
spiffe://…/device/press-7   the device, verbatim
serial:abc                  the certificate of this serial number, of any issuer
"""

from typing import Final

import click

from control_plane.commands.answers import RevocationAnswer
from control_plane.commands.api_client import ApiClient
from control_plane.commands.named_connection import id_beginning, is_id
from control_plane.commands.revocation_list import SERIAL_PREFIX, candidate_lines
from control_plane.device_revocations.fields import parse_device_id, parse_serial
from control_plane.errors import NotFoundError

PATH: Final = "device-revocations"


async def named_revocation(api: ApiClient, text: str) -> str:
    """Return the id of the revocation that is meant.

    Raises `NotFoundError`, and `click.UsageError` if several may be meant or the text is no name.
    """
    if is_id(text):
        return text.lower()
    queries: list[dict[str, str]] = []
    if (beginning := id_beginning(text)) is not None:
        queries.append({"id": beginning})
    if (target := _target(text)) is not None:
        queries.append(target)
    if not queries:
        raise click.UsageError("this is no revocation's id, no device's, and not serial:HEX")
    found: dict[str, RevocationAnswer] = {}
    for query in queries:
        found |= {view["id"]: view for view in await api.items(RevocationAnswer, PATH, query=query)}
    if len(found) == 1:
        return next(iter(found))
    if found:
        several = f"{text} may mean {len(found)} revocations; give the id of one:"
        raise click.UsageError("\n".join([several, *candidate_lines([*found.values()])]))
    raise NotFoundError(f"no revocation of {text} is in force; `devices list` shows all")


def _target(text: str) -> dict[str, str] | None:
    try:
        if text.startswith(SERIAL_PREFIX):
            serial = parse_serial(text.removeprefix(SERIAL_PREFIX))
            return {"serial": serial, "any_issuer": "true"}
        return {"device": parse_device_id(text)}
    except ValueError:
        return None
