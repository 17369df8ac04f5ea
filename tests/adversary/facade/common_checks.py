"""Checks that rows of several modules guard."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from tests.adversary.guards import check

_Row = TypeVar("_Row", bound=Callable[..., Any])

NOTHING_IS_KEPT: Final = check(
    "facade/content/manifest.py",
    "    return content.getvalue()\n",
    "    _KEPT.append(content)\n    return content.getvalue()\n\n\n_KEPT: list[BytesIO] = []\n",
)
_TAKING: Final = check(
    "facade/devices/reload.py",
    "        except Exception as error:  # noqa: BLE001 - whatever it was",
    "        except ZeroDivisionError as error:  # noqa: BLE001 - whatever it was",
)
_LOOKING: Final = check(
    "facade/devices/reload.py",
    "                except Exception as error:  # noqa: BLE001 - a file",
    "                except ZeroDivisionError as error:  # noqa: BLE001 - a file",
)


def reloading_goes_on(row: _Row) -> _Row:
    """Mark a row that fails if a file that cannot be read, or used, ends the reloading."""
    for mark in (_TAKING, _LOOKING):
        row = mark(row)
    return row
