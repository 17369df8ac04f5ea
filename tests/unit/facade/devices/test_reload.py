"""Changed files of several parts: what has been taken over is shown, whatever the others do."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry

from facade.devices.reload import ReloadedFiles, Take, keep_reloading
from facade.metrics.device_metrics import DeviceMetrics
from shared.watched_files import WatchedFiles

MAX_BYTES = 1024


def part(path: Path, take: Take, metrics: DeviceMetrics) -> ReloadedFiles:
    """Return a part of one file, which is other than what is used."""
    path.write_bytes(b"new")
    return ReloadedFiles(
        WatchedFiles({path.name: path}, MAX_BYTES), {path.name: b"old"}, take, metrics, {}
    )


async def test_what_was_taken_over_is_shown_before_other_files_are_read(tmp_path: Path) -> None:
    """Else metrics and log told of the old file, while devices and `/readyz` had the new one."""
    metrics = DeviceMetrics.create(CollectorRegistry())
    taken, shown, late = list[str](), list[list[str]](), asyncio.Event()

    async def take_at_once(_: Mapping[str, bytes]) -> Mapping[str, str]:
        taken.append("first")
        return {}

    async def take_late(_: Mapping[str, bytes]) -> Mapping[str, str]:
        late.set()
        await asyncio.Event().wait()
        return {}

    parts = [
        part(tmp_path / "first", take_at_once, metrics),
        part(tmp_path / "second", take_late, metrics),
    ]
    at_once = asyncio.Event()
    at_once.set()
    task = asyncio.ensure_future(keep_reloading(parts, at_once, lambda: shown.append([*taken])))
    await late.wait()
    assert shown == [["first"]]
    task.cancel()
    await asyncio.wait([task])
