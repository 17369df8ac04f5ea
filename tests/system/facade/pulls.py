"""Pulls of a device, and how each of them ended."""

import orjson
from attrs import frozen

from tests.support.device_stream import End, device_stream
from tests.support.facade_process import Device

# For tests in which one device pulls a thousand times, or a hundred times at once: without a store
# each pull asks the registry, more often than one device may.
WITHOUT_LIMITS = {"FACADE_DEVICE_MISSES_PER_MINUTE": "0", "FACADE_DEVICE_DOWNLOADS": "0"}


@frozen
class Outcome:
    """How a pull ended; `error_code` where it was answered with an error."""

    status: int
    end: End
    received: int
    length: int | None  # that the answer promises; None: chunked
    digest: str  # of what was received
    error_code: str = ""


async def outcome_of(device: Device, path: str, **headers: str) -> Outcome:
    """Pull a path to its end, whatever that is."""
    async with device_stream(
        device.facade.port, device.tls(), path, request_headers=headers
    ) as stream:
        error_code = ""
        if stream.status >= 400:
            error_code = orjson.loads(await stream.body())["errors"][0]["code"]
        end = await stream.end()
        length = None if stream.is_chunked else stream.length
        return Outcome(stream.status, end, stream.received, length, stream.digest, error_code)
