"""docs/bounds: each bound there is in the code with that value, and each of the code is there."""

import importlib
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from deploy.dev import settings_page

ROOT = Path(__file__).parents[2]
BOUNDS = ROOT / "docs" / "bounds"
INDEX = BOUNDS / "README.md"
PAGES = sorted(set(BOUNDS.glob("*.md")) - {INDEX, BOUNDS / "attacks.md"})
PRODUCT = ("facade", "control_plane", "shared")
_BOUND = re.compile(r"^((?:MAX|MOST)_[A-Z0-9_]+)(?:: [^=\n]*)? = ", re.MULTILINE)
# What is called so, and bounds no peer. A new one is on the page, or here with its reason.
NO_PEERS = (
    # What is told to people: of more, so many are named.
    *("*.MAX_NAMED_*", "*.MAX_SHOWN_*", "*.MAX_TOLD*", "*.MAX_LOGGED_SUBJECTS", "*.MOST_NAMED"),
    *("*.MAX_REPORTED_FAULTS", "*.MAX_LISTED", "*.device_certificate.MAX_NAMES"),
    *("shared.logged_exception.*", "shared.failures.*", "control_plane.review.highlights.*"),
    # The largest number that a format, a protocol or the kernel has room for.
    *("*.MAX_SEQUENCE", "*.MAX_REVISION", "*.MAX_GENERATION", "*.MAX_NUMBER", "*.MAX_PORT"),
    *("*.MAX_HOST_NAME_CHARACTERS", "*.MAX_REPOSITORY_NAME_CHARACTERS", "*.MAX_INTEGER_DIGITS"),
    *("*.MAX_ROLE_ARN_CHARACTERS", "*.MAX_OID_CHARACTERS", "*.MAX_TIME_CHARACTERS"),
    *("*.MAX_SERIAL_DIGITS", "*.MAX_SIZE_BYTES", "*.MAX_MANAGED_POLICY_CHARACTERS"),
    *("*.MAX_RSA_EXPONENT", "*.MAX_GATHERED_CHUNKS", "shared.postgres.database_url.MAX_*"),
    # Words of a request whose whole length is on the page: a body, a token, a head.
    *(
        "control_plane.connections.fields.MAX_SECRET_LABEL_CHARACTERS",
        "control_plane.operators.person.*",
    ),
    *("control_plane.operators.operator_token.*", "*.MAX_POINTER_CHARACTERS"),
    *("*.MAX_PASTED_CHARACTERS", "*.MAX_TYPED_HOST_CHARACTERS"),
    *("*.MAX_DISPLAY_NAME_CHARACTERS", "*.pulls.named.MAX_REFERENCE_CHARACTERS"),
    *("*.MAX_READ_VALUE_BYTES", "*.content.referrer.MAX_TYPE_CHARACTERS", "*.MAX_LONE_HEAD_BYTES"),
    *("*.console.connection_list.MAX_DAYS", "*.statement_rows.MAX_PAYLOAD_BYTES"),
    # Another bound's half, or its name in another module.
    *("*.stream_growth.MOST_STREAMS", "*.spare_streams.MAX_SPARE_STREAMS", "*.MAX_NAMES_BYTES"),
    *("*.wrong_bytes_backoff.MAX_DOUBLINGS", "*.signature.MAX_SECRET_*"),
    # What an operator writes into files and calls of their own.
    *(
        "control_plane.declared.secret_reference.*",
        "*.role_mapping.MAX_*",
        "*.webhook_target.MAX_*",
        "*.lifetime.*",
    ),
    *("*.MAX_CA_FILE_BYTES", "*.connection_options.*", "*.MAX_CERTIFICATE_BYTES"),
    *("*.MAX_PEM_BYTES", "*.MAX_CERTIFICATE_FILE_BYTES", "*.read_once.MAX_CONNECTIONS"),
    *("*.audit_export.MAX_LINE_BYTES", "*.values.*.MAX_REMEMBERED_AUTHORITIES"),
    # Pauses and sizes of our own work, which no peer makes longer.
    *("*.remembering.MAX_CLOCK_STEP_BACK_SECONDS", "*.layers.MAX_NEW_KEYS"),
    *("*.stream_growth.MOST_REST_SECONDS", "*.stream_growth.MOST_TAKEN", "*.MAX_DELAY_SECONDS"),
    *("*.MAX_RESUME_DELAY_SECONDS", "*.bare_questions.MAX_WAIT_SECONDS", "*.MAX_PAUSE_SECONDS"),
    *("*.device_allowance.MAX_WAIT_SECONDS", "*.stored_content.MAX_LOOKS", "*.MAX_SPANS"),
    *("*.applying.MAX_RETRY_SECONDS", "*.provider_login.MAX_INTERVAL_SECONDS"),
    *("*.target_sender.MAX_EVENT_AGE", "*.secret_openings.MAX_REMEMBERED"),
    *("*.rights.MAX_UNWRITTEN_ENDS", "*.MAX_SPARE_BYTES", "*.MAX_REWRITTEN_BYTES"),
)
_UNITS = {"": 1.0, "bytes": 1.0, "s": 1.0, "min": 60.0, "h": 3600.0, "days": 86400.0} | {
    unit: 1024.0**power for power, unit in enumerate(("KiB", "MiB", "GiB", "TiB"), start=1)
}


def _rows() -> list[tuple[str, str, str]]:
    """Return what, bound and name of each row of each peer's page."""
    lines = [line for page in PAGES for line in page.read_text().splitlines()]
    rows = [line.strip("|").split("|") for line in lines if line.startswith("| ")]
    named = [[cell.strip() for cell in row] for row in rows if row[0].strip() != "what"]
    return [(what, bound, name.strip("`")) for what, _per, bound, name, _measured in named]


def _bounds_of_the_product() -> Iterator[str]:
    for package in PRODUCT:
        for path in sorted((ROOT / package).rglob("*.py")):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield from (f"{module}.{name}" for name in _BOUND.findall(path.read_text()))


ROWS = _rows()
OF_THE_PRODUCT = tuple(_bounds_of_the_product())
SETTINGS = settings_page.page()


def _number(text: str) -> float:
    found = re.fullmatch(r"([0-9,.]+) ?([A-Za-z]*)", text)
    assert found, f"not a number with a unit: {text}"
    return float(found[1].replace(",", "")) * _UNITS[found[2]]


@pytest.mark.parametrize(
    "what, bound, name", ROWS, ids=[f"{name}: {what}" for what, _, name in ROWS]
)
def test_a_bound_is_what_the_code_says(what: str, bound: str, name: str) -> None:
    """A page of bounds that is not compared is soon wrong."""
    assert what
    if name.isupper():
        default = re.search(rf"\| `{name}` \| (.*?) \|", SETTINGS)
        assert default, f"no setting {name}"
        if bound != "as set":
            assert _number(default[1].strip("`")) == _number(bound)
        return
    module, _, constant = name.rpartition(".")
    assert getattr(importlib.import_module(module), constant) == _number(bound)


def test_each_bound_of_the_product_is_on_the_page() -> None:
    """A bound that nobody wrote down is one that nobody attacks."""
    named = {name for _, _, name in ROWS}
    unnamed = [
        bound
        for bound in OF_THE_PRODUCT
        if bound not in named and not any(fnmatchcase(bound, each) for each in NO_PEERS)
    ]
    assert not unnamed


@pytest.mark.parametrize("pattern", NO_PEERS)
def test_what_bounds_no_peer_is_in_the_code(pattern: str) -> None:
    """A pattern that fits nothing would let the next one slip by."""
    assert any(fnmatchcase(bound, pattern) for bound in OF_THE_PRODUCT)


@pytest.mark.parametrize("page", sorted(BOUNDS.glob("*.md")), ids=lambda page: str(page.name))
def test_each_page_is_in_the_index(page: Path) -> None:
    """Whoever asks what a peer may cost begins there."""
    assert page == INDEX or f"]({page.name})" in INDEX.read_text()


def test_no_bound_is_named_twice() -> None:
    """One of them would be changed, and the other one not."""
    names = [name for _, _, name in ROWS]
    assert len(names) > 40
    assert len(set(names)) == len(names)
