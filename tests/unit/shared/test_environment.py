"""The environment: every error at once, each naming its variable, none showing a value."""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

import attrs
import pytest
import typed_settings as ts
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from shared.cross_field_check import CrossFieldCheck, FieldProblem
from shared.environment import MAX_VALUE_FILE_BYTES, ConfigurationError, load, options_of
from shared.secret import Secret
from shared.setting_types import (
    ByteSize,
    Duration,
    Form,
    HttpUrl,
    ListenAddress,
    Networks,
    PositiveDuration,
    ReadableFile,
)

READABLE = "the path of a file that this process can read"
CANARY = "canary5f3a"


class Mode(Enum):
    """An enumeration, given by value."""

    FAST = "fast"
    SAFE = "safe"


@frozen(kw_only=True)
class Settings:
    """One field of each kind."""

    database_url: Secret = ts.option(help="a PostgreSQL URL")
    key_file: ReadableFile
    name: str = "facade"
    listen: ListenAddress = ListenAddress("127.0.0.1", 8443)
    reuse_port: bool = False
    workers: int = 1
    max_age: PositiveDuration = 60.0
    drain: Duration = 30.0
    cache: ByteSize | None = None
    networks: Networks = ()
    proxy: HttpUrl | None = None
    folder: Path | None = None
    tls_minimum: Literal["1.2", "1.3"] = "1.3"
    mode: Mode = Mode.SAFE
    even: Annotated[int, Form(lambda text: {"2": 2}[text], "an even number")] = 2

    @CrossFieldCheck
    def _drain(self) -> Iterator[FieldProblem]:
        if self.drain > self.max_age:
            yield "drain", "no more than max_age"

    @CrossFieldCheck
    def _folder(self) -> Iterator[FieldProblem]:
        if self.cache and self.folder is None:
            yield "folder", "a folder, for the cache"


@frozen
class Beside:
    """Another command of the same prefix."""

    url: str
    ca_file: Path | None = None


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """Return a file that can be read."""
    path = tmp_path / "key.pem"
    path.write_text(CANARY)
    return path


@pytest.fixture
def least(key_file: Path) -> dict[str, str]:
    """Return the least that loads."""
    return {"APP_DATABASE_URL": f"postgresql://u:{CANARY}@h/d", "APP_KEY_FILE": str(key_file)}


def problems_of(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return what is said of an environment that does not load."""
    with pytest.raises(ConfigurationError) as caught:
        load(Settings, "APP", environ)
    assert CANARY not in str(caught.value)
    assert caught.value.__context__ is None
    return caught.value.problems


def test_defaults_hold_where_nothing_is_given(least: dict[str, str], key_file: Path) -> None:
    """Only what is required has to be set."""
    settings = load(Settings, "APP", least)
    assert settings == Settings(database_url=Secret(least["APP_DATABASE_URL"]), key_file=key_file)
    assert CANARY not in repr(settings)


def test_every_kind_of_field_is_read(least: dict[str, str]) -> None:
    """Each in the form that the interface documents."""
    settings = load(
        Settings,
        "APP",
        {
            **least,
            "APP_NAME": "n\u00e4me",
            "APP_LISTEN": "[::1]:80",
            "APP_REUSE_PORT": "true",
            "APP_WORKERS": "3",
            "APP_MAX_AGE": "5m",
            "APP_DRAIN": "0s",
            "APP_CACHE": "1GiB",
            "APP_NETWORKS": "10.0.0.0/8",
            "APP_PROXY": "http://proxy:3128",
            "APP_FOLDER": "relative/folder",
            "APP_TLS_MINIMUM": "1.2",
            "APP_MODE": "fast",
            "APP_EVEN": "2",
        },
    )
    assert (settings.name, settings.listen.host, settings.reuse_port) == ("n\u00e4me", "::1", True)
    assert (settings.workers, settings.max_age, settings.drain) == (3, 300.0, 0.0)
    assert (settings.cache, settings.proxy) == (2**30, "http://proxy:3128")
    assert (settings.folder, settings.tls_minimum) == (Path("relative/folder"), "1.2")
    assert (settings.mode, len(settings.networks)) == (Mode.FAST, 1)


def test_every_error_is_said_at_once_and_names_its_variable() -> None:
    """An operator corrects one file once, not ten times."""
    assert problems_of(
        {
            "APP_KEY_FILE": f"/nowhere/{CANARY}",
            "APP_NAME": "",
            "APP_LISTEN": CANARY,
            "APP_REUSE_PORT": CANARY,
            "APP_WORKERS": CANARY,
            "APP_MAX_AGE": "0s",
            "APP_DRAIN": CANARY,
            "APP_CACHE": CANARY,
            "APP_NETWORKS": CANARY,
            "APP_PROXY": f"https://u:{CANARY}@proxy",
            "APP_FOLDER": f"a\0{CANARY}",
            "APP_TLS_MINIMUM": CANARY,
            "APP_MODE": CANARY,
            "APP_EVEN": CANARY,
            "APP_UNKNOWN": CANARY,
        }
    ) == (
        "APP_UNKNOWN: unknown",
        "APP_DATABASE_URL: required; expected a PostgreSQL URL",
        "APP_NAME: empty; leave it out, or give text",
        f"APP_KEY_FILE: expected {READABLE}: there is no such file",
        "APP_LISTEN: expected an IP address and port such as 127.0.0.1:8080 or [::1]:8080",
        "APP_REUSE_PORT: expected true or false",
        "APP_WORKERS: expected a whole number",
        "APP_MAX_AGE: expected a duration such as 30s, 5m or 24h, and not zero",
        "APP_DRAIN: expected a duration such as 30s, 5m or 24h",
        "APP_CACHE: expected a size such as 10GiB, 512MiB or bytes",
        "APP_NETWORKS: expected networks such as 10.0.0.0/8,fd00::/8 without host bits",
        "APP_PROXY: expected a URL such as https://host.example/path",
        "APP_FOLDER: expected a path",
        "APP_TLS_MINIMUM: expected one of 1.2, 1.3",
        "APP_MODE: expected one of fast, safe",
        "APP_EVEN: expected an even number",
    )


@pytest.mark.parametrize("wrong", ["APP_WORKERS", "APP_KEY_FILE", "APP_NETWORKS", "APP_DRAIN"])
def test_what_is_wrong_between_fields_is_said_beside_what_is_wrong_elsewhere(
    least: dict[str, str], wrong: str
) -> None:
    """Otherwise it would show at the second start."""
    said = problems_of({**least, "APP_CACHE": "1GiB", wrong: CANARY})
    assert said[-1] == "APP_FOLDER: required; expected a folder, for the cache"
    assert [line.partition(":")[0] for line in said] == [wrong, "APP_FOLDER"]


@pytest.mark.parametrize(
    "variable, text",
    [("APP_MAX_AGE", ""), ("APP_MAX_AGE", CANARY), ("APP_MAX_AGE_FILE", f"/nowhere/{CANARY}")],
)
def test_nothing_is_said_between_fields_of_which_one_cannot_be_read(
    least: dict[str, str], variable: str, text: str
) -> None:
    """Its default does not stand in its place."""
    (problem,) = problems_of({**least, "APP_DRAIN": "2m", variable: text})
    assert problem.startswith(f"{variable}: ")


def test_an_error_of_a_check_itself_is_the_programmers() -> None:
    """Only a field that could not be read ends a check in silence."""

    @frozen
    class Mistaken:
        workers: int = 1

        @CrossFieldCheck
        def _workers(self) -> Iterator[FieldProblem]:
            yield "workers", self.wrokers  # type: ignore[attr-defined]

    with pytest.raises(AttributeError, match="wrokers"):
        load(Mistaken, "APP", {})


def test_fields_are_looked_at_together(least: dict[str, str]) -> None:
    """The class says what is wrong between them, by field name."""
    assert problems_of({**least, "APP_DRAIN": "2m"}) == (
        "APP_DRAIN: expected no more than max_age",
    )


@pytest.mark.parametrize(
    "name, nearest",
    [
        ("APP_LISTN", "; did you mean APP_LISTEN?"),
        ("APP_DATABASE_URLS", "; did you mean APP_DATABASE_URL?"),
        ("APP_DATABASE_URL_FLE", "; did you mean APP_DATABASE_URL_FILE?"),
        ("APP_KEY_FILE_FILE", "; did you mean APP_KEY_FILE?"),
        ("APP_ZZZZZZZZZZZZ", ""),
        ("APP_", ""),
    ],
)
def test_a_mistyped_name_is_an_error(least: dict[str, str], name: str, nearest: str) -> None:
    """Otherwise the default would hold, and nobody would know."""
    (problem,) = problems_of({**least, name: CANARY})
    assert problem.startswith(f"{name}: unknown")
    assert not nearest or problem.endswith(nearest)


@pytest.mark.parametrize(
    "name",
    [
        "APP_PORT",
        "APP_SERVICE_HOST",
        "APP_SERVICE_PORT",
        "APP_SERVICE_PORT_HTTPS",
        "APP_PORT_8443_TCP",
        "APP_PORT_8443_TCP_PROTO",
        "APP_PORT_8443_TCP_PORT",
        "APP_PORT_8443_TCP_ADDR",
        "APPLE",
        "APP",
        "app_listn",
        "OTHER_APP_LISTN",
        "CANARY",
    ],
)
def test_names_that_others_put_there_are_no_error(least: dict[str, str], name: str) -> None:
    """Kubernetes names variables after the services of a namespace, and this may be one."""
    assert load(Settings, "APP", {**least, name: "tcp://10.0.0.1:8443"}).name == "facade"


def test_variables_of_other_commands_are_known(least: dict[str, str]) -> None:
    """One environment file serves all commands of a program."""
    environ = {**least, "APP_URL": "https://h", "APP_CA_FILE": "/x", "APP_URL_FILE": "/x"}
    assert len(problems_of(environ)) == 3
    assert load(Settings, "APP", environ, beside=[Beside]).name == "facade"


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_value_is_read_from_its_file(tmp_path: Path, least: dict[str, str], ending: str) -> None:
    """Without the line break that editors put at the end."""
    file = tmp_path / "database-url"
    file.write_bytes(f"postgresql://{CANARY}{ending}".encode())
    del least["APP_DATABASE_URL"]
    settings = load(Settings, "APP", {**least, "APP_DATABASE_URL_FILE": str(file)})
    assert settings.database_url.reveal_text() == f"postgresql://{CANARY}"


def test_one_line_break_alone_is_taken_off(tmp_path: Path, least: dict[str, str]) -> None:
    """A secret may end in one of its own."""
    file = tmp_path / "name"
    file.write_text("name\n\n")
    assert load(Settings, "APP", {**least, "APP_NAME_FILE": str(file)}).name == "name\n"


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "empty; leave it out, or give a whole number"),
        (b"\n", "empty; leave it out, or give a whole number"),
        (b"\xff" + CANARY.encode(), "expected a file of UTF-8 text"),
        (CANARY.encode(), "expected a whole number"),
        (
            b"1" * (MAX_VALUE_FILE_BYTES + 1),
            f"expected a file of at most {MAX_VALUE_FILE_BYTES} bytes",
        ),
    ],
)
def test_a_wrong_file_is_named_by_its_variable(
    tmp_path: Path, least: dict[str, str], content: bytes, said: str
) -> None:
    """The variable that was set is the one with `_FILE`."""
    file = tmp_path / CANARY
    file.write_bytes(content)
    assert problems_of({**least, "APP_WORKERS_FILE": str(file)}) == (f"APP_WORKERS_FILE: {said}",)


@pytest.mark.parametrize(
    "path, why",
    [
        ("", ": it is no file"),
        (".", ": it is no file"),
        (f"/nowhere/{CANARY}", ": there is no such file"),
        (f"'/nowhere/{CANARY}'", ": there is no such file; the value has quotes around it, which"),
        (f"a\0{CANARY}", ""),
        ("\udcff", ": there is no such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error(least: dict[str, str], path: str, why: str) -> None:
    """Why is said; the path is not shown."""
    (problem,) = problems_of({**least, "APP_WORKERS_FILE": path})
    expected = f"APP_WORKERS_FILE: expected {READABLE}"
    assert problem.startswith(f"{expected}{why}")
    assert CANARY not in problem


@pytest.mark.parametrize(
    "value, hint",
    [
        ('"2"', "; the value has quotes around it, which belong to it here: leave them out"),
        ("'2'", "; the value has quotes around it, which belong to it here: leave them out"),
        ("2\r", "; the value ends with a carriage return, as of a file with Windows' line ends"),
        (" 2", "; the value has a blank before or behind it, which belongs to it here"),
        ("2 ", "; the value has a blank before or behind it, which belongs to it here"),
        ("two", ""),
        ('"', ""),
    ],
)
def test_what_came_with_a_value_out_of_its_file_is_hinted_at(
    least: dict[str, str], value: str, hint: str
) -> None:
    """`docker --env-file` and Kubernetes keep quotes, and an editor adds what nobody sees."""
    assert problems_of({**least, "APP_WORKERS": value}) == (
        f"APP_WORKERS: expected a whole number{hint}",
    )


def test_a_value_that_is_given_twice_is_an_error(least: dict[str, str], key_file: Path) -> None:
    """Which one holds should not have to be looked up."""
    assert problems_of({**least, "APP_DATABASE_URL_FILE": str(key_file)}) == (
        "APP_DATABASE_URL: given twice, here and as APP_DATABASE_URL_FILE",
    )


def test_bytes_that_are_no_text_are_an_error(least: dict[str, str]) -> None:
    """Python shows them as surrogates, which nothing else can encode."""
    assert problems_of({**least, "APP_NAME": f"\udcff{CANARY}"}) == (
        "APP_NAME: expected UTF-8 text",
    )


def test_an_unprintable_name_is_escaped(least: dict[str, str]) -> None:
    """A terminal shows these lines."""
    (problem,) = problems_of({**least, "APP_\x1b[2J\n": CANARY})
    assert problem == "APP_\\x1b[2J\\n: unknown"


_VARIABLES = [f"APP_{field.name.upper()}" for field in attrs.fields(Settings)]
_NAMES = st.one_of(
    st.sampled_from([*_VARIABLES, *(f"{name}_FILE" for name in _VARIABLES)]),
    st.text("APPLISTEN_F", max_size=8).map(lambda text: f"APP_{text}"),
)
_TEXTS = st.text(st.characters(exclude_categories=[]), max_size=8)
_VALUES = st.one_of(
    st.builds(lambda one, other: f"{one}{CANARY}{other}", _TEXTS, _TEXTS),
    st.sampled_from(["", "true", "1", "30s", "1GiB", "127.0.0.1:1", "fast", "/", __file__]),
)


def _load(environ: Mapping[str, str]) -> Settings | ConfigurationError:
    try:
        return load(Settings, "APP", environ)
    except ConfigurationError as error:
        return error


@given(st.dictionaries(_NAMES, _VALUES), st.booleans())
def test_any_environment_loads_or_says_why_without_a_value(
    given_variables: dict[str, str],
    complete: bool,  # noqa: FBT001  # hypothesis gives it
) -> None:
    """Nothing else may come out of reading what a stranger's template made."""
    required = {"APP_DATABASE_URL": CANARY, "APP_KEY_FILE": __file__} if complete else {}
    match _load({**required, **given_variables}):
        case ConfigurationError() as error:
            assert CANARY not in str(error)
            assert all(problem.startswith("APP_") for problem in error.problems)
            assert all(problem.isprintable() for problem in error.problems)
            assert error.__context__ is None
        case settings:
            assert CANARY not in repr(attrs.evolve(settings, name="", folder=None))


def test_bounds_that_quote_are_the_programmers_error() -> None:
    """An attrs validator's message shows the value that it refuses."""

    @frozen
    class Validated:
        workers: int = attrs.field(default=1, validator=attrs.validators.lt(10))

    with pytest.raises(TypeError, match="a Form"):
        load(Validated, "APP", {})


class LetsOthersGoOn:
    """Garbage in a circle: the thread that happens to collect it lets another one go on."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        time.sleep(0.001)


def test_threads_that_load_at_once_all_do(least: dict[str, str]) -> None:
    """Without taking turns they failed with a `SystemError`, now and then: in CPython's parser."""

    def load_one(_: int) -> tuple[Settings, int]:
        garbage = [LetsOthersGoOn() for _ in range(3)]
        del garbage
        return load(Settings, "APP", least), len(options_of(Settings))

    with ThreadPoolExecutor(2) as threads:
        loaded = [*threads.map(load_one, range(40))]
    assert loaded == 40 * [(load(Settings, "APP", least), len(attrs.fields(Settings)))]


def test_a_command_prints_every_problem_and_exits_with_2() -> None:
    """Standard output is for results."""
    program = (
        "from shared.environment import *\n"
        "exit_with_configuration_error(ConfigurationError(['APP_A: required', 'APP_B: unknown']))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "APP_A: required\nAPP_B: unknown\n"
