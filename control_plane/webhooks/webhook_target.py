"""A target of webhooks, as the file names it. Pure."""

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import Final

from attrs import field, frozen
from yarl import URL

from control_plane.reading.field_reader import FieldReader
from control_plane.webhooks.event import ALWAYS_SENT, CHOSEN_KINDS, EventKind
from control_plane.webhooks.signature import SigningSecret
from shared.canonical_json import Network
from shared.pem import InvalidPemError, load_certificates
from shared.several_problems import require_none
from shared.upstream.egress import LOOPBACK, EgressRule

MAX_NAME_CHARACTERS: Final = 32  # a label of metrics
MAX_URL_CHARACTERS: Final = 2048
MAX_SECRETS: Final = 3  # the old one, the new one, and one more for who is slow
MAX_NETWORKS: Final = 16
MAX_CA_CHARACTERS: Final = 32 * 1024  # a bundle of some ten authorities
_NAME: Final = re.compile(rf"[a-z0-9](?:[a-z0-9-]{{0,{MAX_NAME_CHARACTERS - 1}}})", re.ASCII)


@frozen
class WebhookTarget:
    """Who is told what, and how. The URL may hold a secret: neither it nor a secret prints."""

    name: str
    url: str = field(repr=False)
    secrets: tuple[SigningSecret, ...] = field(repr=False)
    events: frozenset[EventKind]
    allowed_networks: tuple[Network, ...] = ()
    plain_http: bool = False
    ca_certificate: str | None = field(default=None, repr=False)

    def wants(self, kind: EventKind) -> bool:
        """Tell whether the target is told of such events."""
        return kind in self.events or kind in ALWAYS_SENT

    @property
    def egress_rule(self) -> EgressRule:
        """Which addresses may be spoken to: public ones, and the networks that the file names."""
        opens_loopback = any(
            network.version == loopback.version and network.overlaps(loopback)
            for network in self.allowed_networks
            for loopback in LOOPBACK
        )
        return EgressRule(
            self.allowed_networks, allow_loopback=opens_loopback, plain_http=self.plain_http
        )


def parse_target(body: Mapping[str, object]) -> WebhookTarget:
    """Return the target, or raise `InvalidRequestError` with every wrong field."""
    fields = FieldReader(body)
    name = fields.text("name", _parse_name, required=True)
    plain_http = fields.flag("plain_http")
    url = fields.text("url", lambda text: _parse_url(text, plain_http=plain_http), required=True)
    secrets = fields.texts("secrets", SigningSecret.parse, at_most=MAX_SECRETS)
    if not secrets and not fields.is_wrong("secrets"):
        fields.wrong("/secrets", f"expected 1 to {MAX_SECRETS} secrets")
    events = fields.texts("events", _parse_kind, at_most=len(CHOSEN_KINDS))
    networks = fields.texts("allowed_networks", _parse_network, at_most=MAX_NETWORKS)
    ca_certificate = fields.text("ca_certificate", _parse_ca)
    if plain_http and ca_certificate:
        fields.wrong("/ca_certificate", "plain HTTP has no certificate to check")
    fields.finish()
    if name is None or url is None:
        raise AssertionError("both are required")
    chosen = frozenset(events) if fields.has("events") else frozenset(CHOSEN_KINDS)
    return WebhookTarget(name, url, secrets, chosen, networks, plain_http, ca_certificate)


def _parse_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(
            f"expected 1 to {MAX_NAME_CHARACTERS} of a-z, 0-9 and -, not beginning with -"
        )
    return text


def _parse_url(text: str, *, plain_http: bool) -> str:
    require_none(_url_problems(text, plain_http=plain_http))
    return text


def _url_problems(text: str, *, plain_http: bool) -> Iterator[str]:
    """Yield what is wrong with a URL; nothing of it is quoted, because it may hold a secret."""
    if len(text) > MAX_URL_CHARACTERS:
        yield f"expected at most {MAX_URL_CHARACTERS} characters"
        return
    if not all("!" <= character <= "~" for character in text):
        yield "a URL is written in visible ASCII, without spaces"
        return
    try:
        url = URL(text, encoded=True)
        host, port = url.raw_host, url.port
    except ValueError:
        host, port, url = None, None, URL()
    if url.scheme not in {"http", "https"} or not host or not port:
        yield "expected a URL such as https://hooks.example/registry"
        return
    if url.scheme == "http" and not plain_http:
        yield "expected https://, unless plain_http is true"
    if url.scheme == "https" and plain_http:
        yield "with plain_http: true the URL begins with http://"
    if url.raw_user is not None or url.raw_password is not None:
        yield "a URL has no user name in it: the signature says who sends"
    if "#" in text:
        yield "a URL has no fragment"


def is_address(host: str) -> bool:
    """Tell whether a URL's host is an address, which no resolver is asked about."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _parse_kind(text: str) -> EventKind:
    if text not in list(CHOSEN_KINDS):
        raise ValueError(f"expected one of {', '.join(CHOSEN_KINDS)}")
    return EventKind(text)


def _parse_network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError:  # quotes the text
        raise ValueError("expected a network such as 10.0.0.0/8, without host bits") from None


def _parse_ca(text: str) -> str:
    if len(text) > MAX_CA_CHARACTERS:
        raise ValueError(f"expected at most {MAX_CA_CHARACTERS} characters")
    try:
        load_certificates(text)
    except InvalidPemError as error:
        raise ValueError(f"expected certificates in PEM: {error}") from None
    return text
