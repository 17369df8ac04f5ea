"""What is told of handshakes that failed: a metric by reason, and lines in the log.

A fleet with a wrong certificate tries again every few seconds, and anybody may connect. So within a
window each reason has a bounded number of lines, each for another address and certificate. The end
of the window tells how many more there were.

What is said of a refused certificate is only what the device claims: those fields are
`presented_...`.
"""

import asyncio
import warnings
from typing import Final

from attrs import define, field, frozen
from cryptography import x509
from OpenSSL import SSL

from facade.devices.handshake_end import LEFT_SILENTLY, Ending, HandshakeEnd
from facade.devices.presented_device import name_of
from facade.metrics.device_metrics import DeviceMetrics
from facade.values.device_identity import Identification
from shared.malformed_x509 import MALFORMED
from shared.structured_log import get_logger

LINES_A_WINDOW: Final = 20  # of one reason: shows the device, or that there are many
LOOKS_A_WINDOW: Final = 200  # at certificates, for one that has no line yet; a chain may be long
WINDOW_SECONDS: Final = 60.0
_log = get_logger("facade.refused_handshakes")


@frozen
class _PresentedChain:
    """The certificates of a handshake, the device's first; empty if there was none to read."""

    certificates: tuple[x509.Certificate, ...] = ()

    @classmethod
    def of(cls, connection: SSL.Connection | None) -> "_PresentedChain":
        """Return what OpenSSL has built of what was presented, verified or not."""
        try:
            chain = connection.get_verified_chain(as_cryptography=True) if connection else None
        except MALFORMED:
            chain = None
        return cls(tuple(chain or ()))

    def fields(self, rule: Identification, ending: Ending) -> dict[str, str | None]:
        """Return what a line says of them. The log bounds and escapes it."""
        if not self.certificates:
            return {}
        leaf = self.certificates[0]
        fields = {
            "presented_device": _device(leaf, rule),
            "presented_serial": f"{leaf.serial_number:x}",
            "presented_subject": name_of(leaf, "subject"),
            "presented_issuer": name_of(leaf, "issuer"),
        }
        depth = min(ending.depth or 0, len(self.certificates) - 1)
        if ending.reason is HandshakeEnd.UNKNOWN_CA:
            fields["unknown_ca"] = name_of(self.certificates[depth], "issuer")
        elif depth > 0:
            fields["presented_ca"] = name_of(self.certificates[depth], "subject")
        return fields


@define(eq=False)
class _Window:
    """What was logged of one reason since it began."""

    timer: asyncio.TimerHandle
    told: set[tuple[str, str | None]] = field(factory=set)
    looks: int = 0
    untold: int = 0


@define(eq=False)
class RefusedHandshakes:
    """Counts and logs them, on the loop."""

    _metrics: DeviceMetrics
    _rule: Identification
    _window_seconds: float = WINDOW_SECONDS
    _windows: dict[HandshakeEnd, _Window] = field(factory=dict, init=False)
    _is_closed: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        """Show every reason from the start, because a rate needs the first zero."""
        for reason in HandshakeEnd:
            self._metrics.handshakes_refused.labels(reason.value)

    def note(self, ending: Ending, peer: str, connection: SSL.Connection | None = None) -> None:
        """Tell of one."""
        self._metrics.handshakes_refused.labels(ending.reason.value).inc()
        # If nobody speaks at all, it is a load balancer's health check, every few seconds.
        if ending is LEFT_SILENTLY or self._is_closed:
            return
        window = self._windows.get(ending.reason)
        if window is None:
            window = self._windows[ending.reason] = self._open_window(ending.reason)
        if len(window.told) >= LINES_A_WINDOW or window.looks >= LOOKS_A_WINDOW:
            window.untold += 1
            return
        window.looks += 1
        with warnings.catch_warnings():
            # cryptography warns of each strange name, which anybody who connects can choose
            warnings.simplefilter("ignore")
            chain = _PresentedChain.of(connection)
            fields = chain.fields(self._rule, ending)
        key = peer, fields.get("presented_serial")
        if key in window.told:
            window.untold += 1
            return
        window.told.add(key)
        _log.warning(
            "handshake refused", reason=ending.words, code=ending.reason, peer=peer, **fields
        )

    def close(self) -> None:
        """Tell what was not told yet, and nothing more from now on: what goes on is given up."""
        self._is_closed = True
        for reason in list(self._windows):
            self._end_window(reason)

    def _open_window(self, reason: HandshakeEnd) -> _Window:
        loop = asyncio.get_running_loop()
        return _Window(loop.call_later(self._window_seconds, self._end_window, reason))

    def _end_window(self, reason: HandshakeEnd) -> None:
        window = self._windows.pop(reason)
        window.timer.cancel()
        if window.untold:
            _log.warning("more handshakes refused", code=reason, count=window.untold)


def _device(certificate: x509.Certificate, rule: Identification) -> str | None:
    try:
        return rule.identify(certificate).id
    except ValueError:  # of which `UnidentifiedDeviceError` is one
        return None
