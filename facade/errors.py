"""The tree of the errors that this process raises itself. Each branch says who ends it.

The leaves stand beside what raises them. What a registry does, or does not, is the other tree, and
both processes use it: `shared.upstream.errors.UpstreamError`.
"""

from typing import ClassVar

from shared.environment import CONFIGURATION_ERROR_EXIT_CODE


class FacadeError(Exception):
    """The root. A test holds that every error of the facade is below it, or an `UpstreamError`."""


class PullError(FacadeError):
    """A pull ends with it. The device is told what `pulls.failure_answers.answer_to` says."""


class StoreFailedError(FacadeError):
    """The store does not keep or give some bytes. Whoever wanted them goes on without it."""


class MalformedError(FacadeError):
    """Bytes from outside are not of the form that is read. Whoever had them read says of what."""


class StartError(FacadeError):
    """`facade serve` cannot begin, and ends with `exit_status`. The message names the setting."""

    exit_status: ClassVar = 1


class UnusableSettingError(StartError):
    """A file or folder that a setting names cannot be used."""

    exit_status: ClassVar = CONFIGURATION_ERROR_EXIT_CODE


class CommandError(FacadeError):
    """What a command beside `serve` was asked for failed: it says why, and ends with 1."""
