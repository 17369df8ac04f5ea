"""How many bytes of a blob come in a second, by all its streams together, of late. Pure."""

from typing import Final

from attrs import define, field

WINDOW_SECONDS: Final = 0.2  # it is that of the last one


@define(eq=False)
class ComingRate:
    """Of one arriving blob."""

    _since: tuple[float, int] | None = field(default=None, init=False)  # and what had come by then
    _latest: float = field(default=0.0, init=False)

    def look(self, now: float, come: int) -> float:
        """Return bytes a second; 0 as long as nobody knows. `now`: seconds, monotonic.

        `come`: bytes of the blob that are there, those before its streams included.
        """
        if self._since is None:
            self._since = now, come
        since, before = self._since
        if now - since >= WINDOW_SECONDS:
            self._latest, self._since = (come - before) / (now - since), (now, come)
        return self._latest
