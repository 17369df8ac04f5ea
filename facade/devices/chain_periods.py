"""When each certificate of a bundle is valid together with all above it. Pure.

CAs that sign each other have more chains than anybody can walk: thirty have more than 10^30. So no
chain is walked. Each certificate takes the times of its issuers, cut to its own. When its times
change, so do those of the certificates that it issued, until nothing changes any more.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from cryptography import x509

MAX_CHAIN_CERTIFICATES: Final = 100  # certificates of a chain, as OpenSSL's depth is by default
Period = tuple[datetime, datetime]  # from when until when


def chain_periods(
    issuers: Mapping[x509.Certificate, Sequence[x509.Certificate]],
) -> dict[x509.Certificate, list[Period]]:
    """Return when each one is valid up to an anchor, by any of its chains: in order, and apart.

    `issuers` has all certificates of the bundle. An anchor has no issuers there, or has issued
    itself. If no chain ends at an anchor, there is no period. If the times of every chain exclude
    each other, there is a period that ends before it begins.
    """
    own = {each: (each.not_valid_before_utc, each.not_valid_after_utc) for each in issuers}
    found: dict[x509.Certificate, list[Period]] = {
        each: [own[each]] if not above or each in above else [] for each, above in issuers.items()
    }
    below = [each for each in issuers if not found[each]]
    for _ in range(MAX_CHAIN_CERTIFICATES - 1):
        learned = {
            each: _merged(
                _common(own[each], period) for issuer in issuers[each] for period in found[issuer]
            )
            for each in below
        }
        if all(found[each] == periods for each, periods in learned.items()):
            break
        found |= learned
    return found


def _common(one: Period, other: Period) -> Period:
    return max(one[0], other[0]), min(one[1], other[1])


def _merged(periods: Iterable[Period]) -> list[Period]:
    """Return the same times as few periods; if all are empty, the one that ends last."""
    each_once = set(periods)
    merged: list[Period] = []
    for begin, end in sorted(each for each in each_once if each[0] < each[1]):
        if merged and begin <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((begin, end))
    if merged or not each_once:
        return merged
    return [max(each_once, key=lambda each: (each[1], each[0]))]
