"""Accepting a restored backup, as whoever runs the control plane does it."""

import re

from tests.support.control_plane import ControlPlane
from tests.support.eventually import eventually

_OFFERED = re.compile(r"`control-plane audit accept-restore --head ([0-9a-f]{64})`")


async def accept_restore(plane: ControlPlane) -> str:
    """Wait until `/readyz` says how, do it, and return the hash once the process is ready again."""
    offered = list[str]()

    async def is_offered() -> bool:
        answer = await plane.client(None).call("GET", "/readyz")
        offered.extend(_OFFERED.findall(str(answer.json.get("reason"))))
        return bool(offered)

    await eventually(is_offered)
    plane.run("audit", "accept-restore", "--head", offered[0])
    await plane.wait_until_ready()
    return offered[0]
