"""The tree of the errors that this process raises itself. Each branch says who ends it.

The leaves stand beside the code that raises them. What a registry does wrong is another tree, which
both processes use: `shared.upstream.errors.UpstreamError`.
"""

from typing import ClassVar

from shared.environment import CONFIGURATION_ERROR_EXIT_CODE


class FacadeError(Exception):
    """The root. A test holds that every error of the facade is below it, or an `UpstreamError`."""


class PullError(FacadeError):
    """A pull ends with it. The device is told what `pulls.failure_answers.answer_to` says."""


class StoreFailedError(FacadeError):
    """The store cannot keep or give some bytes. The caller goes on without it."""


class MalformedError(FacadeError):
    """Bytes from outside have the wrong form. The caller decides what becomes of their sender."""


class StartError(FacadeError):
    """`facade serve` cannot begin, and ends with `exit_status`. The message names the setting."""

    exit_status: ClassVar = 1


class UnusableSettingError(StartError):
    """A file or folder that a setting names cannot be used."""

    exit_status: ClassVar = CONFIGURATION_ERROR_EXIT_CODE


class CommandError(FacadeError):
    """A command other than `serve` failed. It says why, and exits with 1."""
