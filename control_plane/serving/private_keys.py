"""Whether others may read the files of private keys and secrets; only this process should.

If they may, there is a warning, `control_plane_problem{part="private_keys"}` and a note in
`/readyz`. Nothing stops: in a container such a file is often readable by all users, and reached by
none.
"""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Self

from attrs import define, field

from control_plane.http.server_tls import KEY
from control_plane.prefix import PREFIX
from control_plane.serving.config import ServeSettings
from control_plane.troubles import ControlPlanePart, Trouble
from shared.watched_files import is_exposed

WEBHOOKS_FILE: Final = f"{PREFIX}_WEBHOOKS_FILE"
LOOK_SECONDS: Final = 10.0  # a stat of each


@define(eq=False)
class PrivateKeys:
    """The files by their settings, and which of them every user of the machine may read."""

    _paths: Mapping[str, Path]
    _exposed: list[str] = field(factory=list, init=False)

    @classmethod
    def of(cls, configured: ServeSettings) -> Self:
        """Return the configured files, having looked at them. Blocks."""
        paths = {f"{PREFIX}_STATEMENT_PRIVATE_KEY_FILE": configured.statement_private_key_file}
        if configured.tls_key_file is not None:
            paths[KEY] = configured.tls_key_file
        if configured.session_key_file is not None:
            paths[f"{PREFIX}_SESSION_KEY_FILE"] = configured.session_key_file
        if configured.webhooks_file is not None:
            paths[WEBHOOKS_FILE] = configured.webhooks_file
        keys = cls(paths)
        keys.look()
        return keys

    def look(self) -> None:
        """Look at the files again. Blocks. A missing file is another part's problem."""
        self._exposed = sorted(name for name, path in self._paths.items() if _is_exposed(path))

    def troubles(self) -> Iterator[Trouble]:
        """Yield that others may read a key."""
        if self._exposed:
            names = " and ".join(self._exposed)
            what = "the secrets in it" if self._exposed == [WEBHOOKS_FILE] else "this private key"
            words = f"{names}: every user of the machine may read {what}: chmod o-r"
            yield Trouble(ControlPlanePart.PRIVATE_KEYS, words, stops=False, kind=names)

    async def run(self) -> None:
        """Look every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await asyncio.to_thread(self.look)


def _is_exposed(path: Path) -> bool:
    try:
        return is_exposed(path.stat())
    except OSError:
        return False
