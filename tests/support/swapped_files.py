"""Files of a running facade that are replaced, and when it has noticed."""

import signal
from collections.abc import Mapping
from pathlib import Path

from tests.support.eventually import eventually
from tests.support.facade_process import Facade


def put(path: Path, content: bytes) -> None:
    """Replace a file as a whole, as whoever rotates certificates does."""
    unfinished = path.with_name(f".{path.name}.new")
    unfinished.touch(mode=0o600)  # some are private keys
    unfinished.write_bytes(content)
    unfinished.rename(path)


async def swap(facade: Facade, contents: Mapping[str, bytes]) -> None:
    """Replace these settings' files; return when the facade uses all of them.

    Then its metrics, `/readyz` and log show it. What it makes of the database with the new keys
    comes later. It also looks by itself every 2 s, so earlier log lines are counted before the
    first file.
    """
    before = {each: len(_reloads(facade, each)) for each in contents}
    for setting, content in contents.items():
        put(_path(facade, setting), content)
    facade.child.process.send_signal(signal.SIGHUP)
    await eventually(lambda: all(len(_reloads(facade, each)) > before[each] for each in contents))


async def swap_refused(facade: Facade, setting: str, content: bytes | None) -> str:
    """Replace or remove a setting's file; return why the facade keeps the old content."""
    before = len(_refusals(facade, setting))
    if content is None:
        _path(facade, setting).unlink()
    else:
        put(_path(facade, setting), content)
    facade.child.process.send_signal(signal.SIGHUP)
    await eventually(lambda: len(_refusals(facade, setting)) > before)
    return str(_refusals(facade, setting)[-1]["reason"])


def refused_files(facade: Facade) -> set[str]:
    """Return the settings whose files are not used, as the metrics say."""
    lines = facade.operations("/metrics")[1].splitlines()
    prefix = 'facade_file_refused{setting="'
    return {
        line.removeprefix(prefix).partition('"')[0]
        for line in lines
        if line.startswith(prefix) and line.endswith(" 1.0")
    }


def _path(facade: Facade, setting: str) -> Path:
    return Path(facade.environment[setting])


def _reloads(facade: Facade, setting: str) -> list[dict[str, object]]:
    return facade.log_lines(event="file reloaded", variable=setting)


def _refusals(facade: Facade, setting: str) -> list[dict[str, object]]:
    event = "file not reloaded, the old content is used"
    return facade.log_lines(event=event, variable=setting)
