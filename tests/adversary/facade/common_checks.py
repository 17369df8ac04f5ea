"""Checks that rows of several modules guard."""

import signal
from collections.abc import Callable
from typing import Any, Final, TypeVar

from tests.adversary.guards import check
from tests.support.eventually import eventually
from tests.support.facade_process import Facade

_Row = TypeVar("_Row", bound=Callable[..., Any])

NOTHING_IS_KEPT: Final = check(
    "facade/content/manifest.py",
    "    return content.getvalue()\n",
    "    _KEPT.append(content)\n    return content.getvalue()\n\n\n_KEPT: list[BytesIO] = []\n",
)
_FORESEEN: Final = check(
    "facade/devices/device_tls.py",
    "            except TlsConfigurationError as error:\n",
    "            except ZeroDivisionError as error:\n",
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
_BEGUN_AGAIN: Final = check(
    "shared/supervised.py",
    "            if not await self._tried(name, work()):\n                return\n",
    "            await self._tried(name, work())\n            return\n",
)


def reloading_goes_on(row: _Row) -> _Row:
    """Mark a row that fails if a file that cannot be read, or used, ends the reloading for good.

    Four guard that: what is foreseen of a wrong file, what else taking or looking for one raises,
    and who owns the work.
    """
    for mark in (_FORESEEN, _TAKING, _LOOKING, _BEGUN_AGAIN):
        row = mark(row)
    return row


EXPOSED: Final = 'facade_private_key_exposed{setting="FACADE_TLS_KEY_FILE"} 1.0'
READ_BY_ALL: Final = 0o644


async def require_still_looking(facade: Facade) -> None:
    """Fail unless the facade sees that a file is another than before."""
    (facade.files.folder / "server.key").chmod(READ_BY_ALL)
    facade.child.process.send_signal(signal.SIGHUP)
    await eventually(lambda: EXPOSED in facade.operations("/metrics")[1])
