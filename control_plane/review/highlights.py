"""What of a document stands out for an approver, and what it means, in words. Pure.

A highlight speaks of what is approved, not of a mistake: private networks may be just right. What a
facade will refuse is said by `connections/notes.py`, and is not said here again.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from attrs import evolve, frozen

from control_plane.connections.grant import PULL_THROUGH_CACHE_MEANS, WITHOUT_EXTERNAL_ID
from control_plane.review.certificates import ShownCertificate, own_certificates
from control_plane.review.document_lines import ReviewedTerms
from shared.canonical_json import Network
from shared.connection import Anonymous, ConnectionDocument, EcrRole
from shared.upstream.egress import NOT_PUBLIC
from shared.upstream.hosts import builtin_realms, nearest_known_host
from shared.upstream.realm import InvalidRealmError, Realm, realm_allowed

ENDS_SOON: Final = timedelta(days=30)  # a company's authority takes weeks to be renewed
WIDE_IPV4_PREFIX: Final = 16  # more than 65,536 addresses are more than one site's network
WIDE_IPV6_PREFIX: Final = 48  # what a site is given (RFC 6177)
MOST_COUNTED: Final = 2**32  # all of IPv4; nobody compares the number of a larger network
MOST_NAMED: Final = 3  # the line itself has all of them
_ANY_DEPTH: Final = "**"


class Weight(StrEnum):
    """How much a highlight asks of its reader."""

    CAUTION = "caution"  # to be meant
    DANGER = "danger"  # to be asked about: it decides who learns the secret, or what is reached


class HighlightKind(StrEnum):
    """What stands out; a fixed code for programs."""

    SIMILAR_HOST = "similar_host"
    HOST_IS_ADDRESS = "host_is_address"
    HOST_CHANGED = "host_changed"
    PREFIX_CHANGED = "prefix_changed"
    ANONYMOUS = "anonymous"
    IDENTITY_CHANGED = "identity_changed"
    NO_EXTERNAL_ID = "no_external_id"
    PULL_THROUGH_CACHE = "pull_through_cache"
    SECRET_REPLACED = "secret_replaced"  # noqa: S105 - a code
    OTHER_SEALING_KEY = "other_sealing_key"
    PLAIN_HTTP = "plain_http"
    OWN_AUTHORITY = "own_authority"
    CREDENTIAL_EXPIRED = "credential_expired"
    CREDENTIAL_ENDS_SOON = "credential_ends_soon"
    AUTHORITY_EXPIRED = "authority_expired"
    AUTHORITY_ENDS_SOON = "authority_ends_soon"
    FOREIGN_REALM = "foreign_realm"
    PRIVATE_NETWORK = "private_network"
    WIDE_NETWORK = "wide_network"
    ALL_REPOSITORIES = "all_repositories"
    WILDCARD_PATTERN = "wildcard_pattern"
    ALL_FLEETS = "all_fleets"


@frozen
class Highlight:
    """Something that stands out: at which line, how much, and in words."""

    kind: HighlightKind
    line: str
    weight: Weight
    words: str
    is_new: bool = True  # False: what serves has it, too


def highlights(
    terms: ReviewedTerms, serving: ReviewedTerms | None, at: datetime
) -> tuple[Highlight, ...]:
    """Return what stands out, and of what it changes: dangers first, new ones first.

    `serving` is what was approved last, if anything was.
    """
    before = set(_standing(serving, at)) if serving else set[Highlight]()
    found = [evolve(each, is_new=each not in before) for each in _standing(terms, at)]
    if serving is not None:
        found += _changed(terms.document, serving.document)
    return tuple(sorted(found, key=lambda each: (each.weight != Weight.DANGER, not each.is_new)))


def _standing(terms: ReviewedTerms, at: datetime) -> Iterator[Highlight]:
    """Yield what stands out whatever was before."""
    document = terms.document
    yield from _of_host(document)
    yield from _of_login(document)
    yield from _of_credential_end(terms.labels.credential_expires_at, at)
    yield from _of_transport(document, at)
    yield from _of_realms(document)
    for network in document.allowed_networks:
        yield from _of_network(network)
    yield from _of_scope(document)


def _of_host(document: ConnectionDocument) -> Iterator[Highlight]:
    host = document.host
    if (nearest := nearest_known_host(str(host))) is not None:
        yield _danger(
            HighlightKind.SIMILAR_HOST,
            "host",
            f"{host} is spelled nearly like {nearest}, and is another registry: is it meant?",
        )
    if host.address is not None:
        yield _caution(
            HighlightKind.HOST_IS_ADDRESS,
            "host",
            f"The registry is named by an address: whoever answers at {host} is asked.",
        )


def _of_login(document: ConnectionDocument) -> Iterator[Highlight]:
    match document.credential:
        case Anonymous():
            yield _caution(
                HighlightKind.ANONYMOUS,
                "login",
                "No login: devices may pull what the registry shows to everybody.",
            )
        case EcrRole() as role:
            if role.external_id is None:
                yield _danger(
                    HighlightKind.NO_EXTERNAL_ID, "external_id", _said(WITHOUT_EXTERNAL_ID)
                )
            if role.pull_through_cache:
                yield _caution(
                    HighlightKind.PULL_THROUGH_CACHE,
                    "pull_through_cache",
                    _said(PULL_THROUGH_CACHE_MEANS),
                )
        case _:
            return


def _of_credential_end(ends: datetime | None, at: datetime) -> Iterator[Highlight]:
    """Yield that a login ends, as whoever gave it says; no facade knows it."""
    if ends is None or ends > at + ENDS_SOON:
        return
    day = f"{ends:%Y-%m-%d}"
    if ends <= at:
        yield _danger(
            HighlightKind.CREDENTIAL_EXPIRED,
            "credential_expires_at",
            f"The login ended on {day}, by the word of whoever gave it: nobody may pull by it.",
        )
    else:
        yield _caution(
            HighlightKind.CREDENTIAL_ENDS_SOON,
            "credential_expires_at",
            f"The login ends on {day}, by the word of whoever gave it: a new secret is due.",
        )


def _of_transport(document: ConnectionDocument, at: datetime) -> Iterator[Highlight]:
    if document.plain_http:
        read = "what is pulled" if document.secret is None else "the secret and what is pulled"
        yield _danger(
            HighlightKind.PLAIN_HTTP,
            "plain_http",
            f"No TLS: everybody between a facade and the registry can read {read}.",
        )
    yield from _of_authorities(own_certificates(document.ca_certificate), at)


def _of_authorities(certificates: Sequence[ShownCertificate], at: datetime) -> Iterator[Highlight]:
    """Yield a highlight of each kind, however many certificates there are."""
    if not certificates:
        return
    names = [each.name for each in certificates]
    are = "are" if len(names) > 1 else "is"
    yield _caution(
        HighlightKind.OWN_AUTHORITY,
        "ca_certificate",
        f"{_some(names)} {are} believed beside the public authorities: whoever has the private key"
        " can pass for the registry.",
    )
    ends = [(each.name, each.ends) for each in certificates if each.ends is not None]
    if over := [f"{name} on {end:%Y-%m-%d}" for name, end in ends if end <= at]:
        yield _danger(
            HighlightKind.AUTHORITY_EXPIRED,
            "ca_certificate",
            f"Expired: {_some(over)}. Nobody can pull any more by what it signed.",
        )
    if soon := [f"{name} on {end:%Y-%m-%d}" for name, end in ends if at < end <= at + ENDS_SOON]:
        yield _caution(
            HighlightKind.AUTHORITY_ENDS_SOON,
            "ca_certificate",
            f"Ends soon: {_some(soon)}. From then on nobody can pull by what it signed.",
        )


def _of_realms(document: ConnectionDocument) -> Iterator[Highlight]:
    known = sorted(builtin_realms(document.host))
    usual = f" ({document.host} is known to use {', '.join(known)})" if known else ""
    learns = "Facades ask for tokens at" if document.secret is None else "The secret is shown to"
    for text in document.auth_realms:
        if _is_own(text, document):
            continue
        yield _danger(
            HighlightKind.FOREIGN_REALM,
            "auth_realms",
            f"{learns} {text} as well, which is another host than the registry{usual}.",
        )


def _is_own(text: str, document: ConnectionDocument) -> bool:
    """Tell whether the registry is shown the login there in any case, without this entry."""
    try:
        realm = Realm.parse(text)
    except InvalidRealmError:
        return False
    return realm_allowed(realm, host=document.host, plain_http=document.plain_http, auth_realms=())


def _of_network(network: Network) -> Iterator[Highlight]:
    wide = WIDE_IPV4_PREFIX if network.version == 4 else WIDE_IPV6_PREFIX  # noqa: PLR2004 - IP's
    reached = (
        f"Facades may connect to {_count(network)} inside, {network}: the registry's name, its"
        " token endpoint and its links may lead them to anything there."
    )
    if network.prefixlen < wide:
        yield _danger(
            HighlightKind.WIDE_NETWORK,
            "allowed_networks",
            f"{reached} That is more than the network of one site.",
        )
    elif _is_inside(network):
        yield _caution(HighlightKind.PRIVATE_NETWORK, "allowed_networks", reached)


def _count(network: Network) -> str:
    number = network.num_addresses
    if number > MOST_COUNTED:
        return "a network"
    return "an address" if number == 1 else f"{number:,} addresses"


def _is_inside(network: Network) -> bool:
    """Tell whether the network has addresses that are not on the internet."""
    if network.version == 6:  # noqa: PLR2004 - IP's
        return True  # what is public needs no entry
    return any(each.version == 4 and each.overlaps(network) for each in NOT_PUBLIC)  # noqa: PLR2004 - IP's


def _of_scope(document: ConnectionDocument) -> Iterator[Highlight]:
    if not document.repositories:
        prefix = document.repository_prefix
        where = f"below {prefix}" if prefix else f"of {document.host}"
        yield _caution(
            HighlightKind.ALL_REPOSITORIES,
            "repositories",
            f"Every repository {where} that the login may read can be pulled, future ones too.",
        )
    if wild := [str(each) for each in document.repositories if "*" in str(each)]:
        depth = ", at any depth" if any(_ANY_DEPTH in each for each in wild) else ""
        yield _caution(
            HighlightKind.WILDCARD_PATTERN,
            "repositories",
            f"{_some(wild)} {'fits' if len(wild) == 1 else 'fit'} every such name{depth}, future"
            " ones too.",
        )
    if not document.fleets:
        yield _caution(
            HighlightKind.ALL_FLEETS,
            "fleets",
            "Every device with a certificate may pull by it, of whatever fleet.",
        )


def _some(texts: list[str]) -> str:
    """Return the first few of them, and how many more there are."""
    more = len(texts) - MOST_NAMED
    shown = ", ".join(texts[:MOST_NAMED])
    return f"{shown} and {more} more" if more > 0 else shown


_IDENTITY: Final = {
    "login": "Another kind of login than the one that serves",
    "username": "Another user than the one that serves",
    "client_email": "Another service account than the one that serves",
    "project_id": "Another Google project than the one that serves",
    "role_arn": "Another role than the one that serves",
    "account": "Another AWS account than the one that serves",
    "region": "Another region than the one that serves",
    "external_id": "Another external id than the one that serves: the role's trust policy has to"
    " name it",
}


def _changed(document: ConnectionDocument, serving: ConnectionDocument) -> Iterator[Highlight]:
    """Yield what stands out because it is other than what serves."""
    if document.host != serving.host:
        yield _danger(
            HighlightKind.HOST_CHANGED,
            "host",
            f"Another registry than the one that serves: {document.host} would be shown the login.",
        )
    if document.repository_prefix != serving.repository_prefix:
        yield _danger(
            HighlightKind.PREFIX_CHANGED,
            "repository_prefix",
            "Another part of the registry than the one that serves.",
        )
    yield from _changed_login(document, serving)
    before, after = serving.secret, document.secret
    if before is None or after is None or before == after:
        return
    if before.version != after.version:
        yield _caution(
            HighlightKind.SECRET_REPLACED,
            "secret",
            f"{document.connected_by} gave another secret; the one that serves is not used any"
            " more once this is approved.",
        )
    if (before.key_id, before.suite) != (after.key_id, after.suite):
        yield _danger(
            HighlightKind.OTHER_SEALING_KEY,
            "sealing",
            f"The secret is sealed to another key, {after.key_id}: whoever has its private half can"
            " open it, and facades without it cannot serve.",
        )


def _changed_login(
    document: ConnectionDocument, serving: ConnectionDocument
) -> Iterator[Highlight]:
    before, after = serving.credential, document.credential
    if type(before) is not type(after):
        yield _danger(HighlightKind.IDENTITY_CHANGED, "login", f"{_IDENTITY['login']}.")
        return
    for name, words in _IDENTITY.items():
        if getattr(before, name, None) != getattr(after, name, None):
            yield _danger(HighlightKind.IDENTITY_CHANGED, name, f"{words}.")


def _said(note: str) -> str:
    """Return a note as a sentence."""
    return f"{note[0].upper()}{note[1:]}."


def _caution(kind: HighlightKind, line: str, words: str) -> Highlight:
    return Highlight(kind, line, Weight.CAUTION, words)


def _danger(kind: HighlightKind, line: str, words: str) -> Highlight:
    return Highlight(kind, line, Weight.DANGER, words)
