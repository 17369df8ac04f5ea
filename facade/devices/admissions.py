"""Whether any device is let in at all: with a wrong device CA nobody is, and nothing else tells."""

from attrs import define

from facade.devices.presented_device import PresentedDevice
from facade.metrics.problems import FacadePart, Problem, Stops


@define
class Admissions:
    """The devices that came since the start, or since the device CAs are others than theirs."""

    _let_in: bool = False
    _refused: int = 0
    _last_reason: str = ""

    def note(self, device: PresentedDevice) -> None:
        """Note a device whose certificate is accepted, even if it identifies nobody."""
        if device.identity is None:
            self.note_refused(device.problem)
        else:
            self._let_in = True

    def note_refused(self, reason: str) -> None:
        """Note a device whose certificate is not accepted, and why."""
        self._refused += 1
        self._last_reason = reason

    def begin_anew(self) -> None:
        """Forget who came, because other devices will be let in."""
        self._let_in, self._refused = False, 0

    def problem(self) -> Problem | None:
        """Return a problem if devices came and none was let in.

        The facade stays ready: nobody can take it out of service by showing it bad certificates.
        """
        if self._let_in or not self._refused:
            return None
        words = f"no device was let in so far, and {self._refused} were refused"
        hint = (
            "are FACADE_DEVICE_CA_FILE and FACADE_DEVICE_IDENTITY, or FACADE_DEVICE_PROFILES_FILE,"
            " those of your devices?"
        )
        return Problem(
            FacadePart.DEVICES, Stops.SOME, f"{words}, the last one: {self._last_reason}; {hint}"
        )
