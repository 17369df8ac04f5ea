"""Who reads bytes from outside, and which tests attack each reader.

`OWN_READERS`: each function that bears `shared.outside_bytes.reads_bytes_of`, with the property
test that gives it anything, and the attack in which a running process reads such bytes.
`LIBRARY_READERS`: what libraries read for us, with what bounds them.
"""

from typing import Final

from attrs import frozen

from shared.outside_bytes import Party


@frozen
class Tested:
    """Where a reader is attacked: `path::test` below `tests/`."""

    property_test: str
    attack: str


@frozen
class LibraryReader:
    """A parser of a library, whose bytes it reads, and which constant or setting bounds them."""

    parser: str
    parties: tuple[Party, ...]
    bounded_by: tuple[str, ...]


OWN_READERS: Final[dict[str, Tested]] = {
    "control_plane.walk_back.WalkBack.take": Tested(
        "unit/control_plane/test_chain.py::test_arbitrary_rows_are_a_chain_or_refused",
        "adversary/control_plane/test_owner_of_the_tables.py::test_a_log_that_is_written_into",
    ),
    "control_plane.checkpoint.log_at": Tested(
        "unit/control_plane/test_chain.py::test_arbitrary_bytes_are_no_checkpoint",
        "adversary/control_plane/test_owner_of_the_tables.py::test_a_log_that_is_written_into",
    ),
    "facade.content.json_fields.fields_of": Tested(
        "unit/facade/content/test_json_fields.py::test_arbitrary_bytes_are_an_object_or_unreadable",
        "adversary/facade/test_manifests.py::test_manifests_with_as_much_in_them_as_there_may_be",
    ),
}

LIBRARY_READERS: Final = (
    LibraryReader(
        "orjson",
        (Party.REGISTRY,),
        (
            "facade.content.manifest.WHOLLY_READ_BYTES",
            "shared.upstream.token_exchange.MAX_TOKEN_RESPONSE_BYTES",
            "shared.upstream.tags.MAX_TAG_PAGE_BYTES",
        ),
    ),
    LibraryReader(
        "aiohttp's HTTP request parser",
        (Party.DEVICE,),
        (
            "facade.devices.device_server.MAX_REQUEST_LINE_BYTES",
            "facade.devices.device_server.MAX_HEADER_FIELD_BYTES",
            "facade.devices.device_server.MAX_HEADER_FIELDS",
            "facade.devices.device_connection.REQUEST_HEADERS_SECONDS",
        ),
    ),
    LibraryReader(
        "aiohttp's HTTP response parser",
        (Party.REGISTRY,),
        (
            "shared.upstream.transport.MAX_HEADER_BYTES",
            "shared.upstream.transport.MAX_HEADERS",
            "shared.upstream.patience.STALL_SECONDS",
        ),
    ),
    LibraryReader(
        "OpenSSL, through pyOpenSSL, for devices",
        (Party.DEVICE, Party.STRANGER),
        (
            "facade.devices.tls.HANDSHAKE_TIMEOUT_SECONDS",
            "facade.devices.tls.MAX_HANDSHAKE_STEPS",
        ),
    ),
    LibraryReader(
        "OpenSSL, through ssl, for the admin API",
        (Party.OPERATOR, Party.STRANGER),
        ("control_plane.listener.HANDSHAKE_SECONDS",),
    ),
    LibraryReader(
        "asyncpg, PostgreSQL's protocol",
        (Party.DATABASE,),
        ("facade.statements.database.QUERY_TIMEOUT_SECONDS",),
    ),
    LibraryReader(
        "cryptography, X.509 certificates and lists",
        (Party.DEVICE, Party.FILE, Party.OPERATOR),
        ("facade.devices.revocation_list.MAX_FILE_BYTES",),
    ),
    LibraryReader(
        "botocore, the answers of STS and ECR",
        (Party.REGISTRY,),
        ("shared.upstream.credentials.aws_session.MAX_ANSWER_BYTES",),
    ),
)
