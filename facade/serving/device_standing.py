"""What is wrong with the facade's certificate, the trust in devices, and changed files."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain

from facade.devices.device_trust import DeviceTrust
from facade.devices.identification import PROFILES
from facade.devices.live_connections import LiveConnections
from facade.devices.server_certificate import ENDS_SOON
from facade.metrics.problems import FacadePart, Finding, Problem, Stops, problem_of
from facade.serving.startup_files import StartupFiles


def device_problems(
    files: StartupFiles, live: LiveConnections, *, any_trust_domain: bool
) -> Iterator[Problem]:
    """Yield at most one problem of each part.

    `any_trust_domain`: whether a device's identity may be of any SPIFFE trust domain.
    """
    now = datetime.now(UTC)
    found = (
        problem_of(FacadePart.SERVER_CERTIFICATE, files.tls.certificate.findings(now)),
        problem_of(
            FacadePart.DEVICE_TRUST,
            chain(
                _untrusted(live.trust, now),
                _unbound(live.trust) if any_trust_domain else (),
                _without_authority(files, live.trust),
            ),
        ),
        live.admissions.problem(),
        problem_of(FacadePart.FILES, _refused(files)),
        problem_of(FacadePart.PRIVATE_KEYS, _exposed(files)),
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


def _unbound(trust: DeviceTrust) -> Iterator[Finding]:
    """Yield a problem if one CA could issue devices of another's trust domain."""
    if (count := len(trust.unbound_anchors)) > 1:
        words = (
            f"each of {count} CAs in FACADE_DEVICE_CA_FILE may issue devices of any trust domain,"
            " also of the others': name the domain in FACADE_DEVICE_URI_PATTERN, or give each CA"
            " a certificate that names its own"
        )
        yield Finding(Stops.NOTHING, words, "any trust domain")


def _without_authority(files: StartupFiles, trust: DeviceTrust) -> Iterator[Finding]:
    for name in files.identification.without_authority(trust.authorities):
        words = (
            f"{PROFILES}: no device of the profile {name} is let in: none of its CAs is in"
            " FACADE_DEVICE_CA_FILE, or issued by one that is"
        )
        yield Finding(Stops.SOME, words, name)


def _refused(files: StartupFiles) -> Iterator[Finding]:
    for setting, reason in sorted(files.refused.items()):
        words = f"{setting}: the file has changed and is not used: {reason}"
        yield Finding(Stops.SOME, words, setting)


def _exposed(files: StartupFiles) -> Iterator[Finding]:
    for setting in sorted(name for name, is_exposed in files.exposed.items() if is_exposed):
        words = f"{setting}: every user of the machine may read this private key: chmod o-r"
        yield Finding(Stops.NOTHING, words, setting)
