"""What is wrong at the door: the facade's certificate, the trust in devices, changed files."""

from collections.abc import Iterator
from datetime import UTC, datetime

from facade.devices.device_trust import DeviceTrust
from facade.devices.live_connections import LiveConnections
from facade.devices.server_certificate import ENDS_SOON
from facade.devices.startup_files import StartupFiles
from facade.problems import Finding, Part, Problem, Stops, problem_of


def device_problems(files: StartupFiles, live: LiveConnections) -> Iterator[Problem]:
    """Yield at most one problem of each part."""
    now = datetime.now(UTC)
    found = (
        problem_of(Part.SERVER_CERTIFICATE, files.tls.certificate.findings(now)),
        problem_of(Part.DEVICE_TRUST, _untrusted(live.trust, now)),
        live.admissions.problem(),
        problem_of(Part.FILES, _refused(files)),
    )
    yield from (each for each in found if each is not None)


def _untrusted(trust: DeviceTrust, now: datetime) -> Iterator[Finding]:
    standing = trust.standing(now)
    stops = Stops.SOME if standing.accepts_some else Stops.ALL
    yield from (Finding(stops, words, words) for words in standing.problems)
    for name, end in sorted(trust.ends().items()):
        if end - ENDS_SOON <= now < end:
            words = f"devices of {name} are refused from {end} on, when that CA expires"
            yield Finding(Stops.NOTHING, f"FACADE_DEVICE_CA_FILE: {words}", name)


def _refused(files: StartupFiles) -> Iterator[Finding]:
    for setting, reason in sorted(files.refused.items()):
        words = f"{setting}: the file has changed and is not used: {reason}"
        yield Finding(Stops.SOME, words, setting)
