"""Reads the environment once, into an attrs class. Tells every error at once, and no value.

    @frozen(kw_only=True)
    class FacadeSettings:
        database_url: Secret = ts.option(help="a PostgreSQL URL")        # required
        tls_cert_file: ReadableFile                                      # required
        listen: ListenAddress = ListenAddress("0.0.0.0", 8443)
        snapshot_max_age: PositiveDuration = 24 * 3600.0
        tls_minimum: Literal["1.2", "1.3"] = "1.3"
        https_proxy: HttpUrl | None = None

        @CrossFieldCheck                                                 # optional, any number
        def _is_kept_for_a_while(self) -> Iterator[FieldProblem]:
            if self.snapshot_max_age < 60:
                yield "snapshot_max_age", "at least 1m"

    settings = load(FacadeSettings, "FACADE")

- The field `listen` is `FACADE_LISTEN`, or `FACADE_LISTEN_FILE`: the value is read from that file,
  without a final line break. A field that ends in `_file` is a path and has no second form.
- Types: `str`, `bool`, `int`, `Path`, `Secret`, `Literal`, an `Enum` by value, `ListenAddress`, any
  `Annotated[T, Form(...)]` (`setting_types` has `Duration`, `ByteSize`, `Networks`, ...), each also
  `| None`. What carries a password is a `Secret`, or keeps it in one.
- A form may read other variables too: a database URL is completed by libpq's own.
- `help` replaces the words for what is expected. Bounds belong in a `Form`, not in attrs
  validators or converters, which quote values and so are refused.
- A `CrossFieldCheck` looks at fields together and names each wrong one with what is expected of
  it. It is asked whatever else is wrong, and has nothing to say where its own fields are.
- An empty value is an error, because it is more often a template that failed than a wish. So is a
  variable that has the prefix and belongs to no field, except those that Kubernetes adds.
"""

import difflib
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NoReturn, TypeVar, cast

import attrs
import typed_settings as ts
from attrs import frozen
from typed_settings.cls_utils import deep_options
from typed_settings.types import LoadedSettings, LoaderMeta, OptionInfo, OptionList

from shared.bounded_file import TooLongFileError, read_bounded
from shared.cross_field_check import cross_field_problems
from shared.safe_message import SafeMessage
from shared.setting_types import Form, InvalidSettingError, form_of, parse_path
from shared.unreadable_file import why_unreadable

MAX_VALUE_FILE_BYTES: Final = 64 * 1024  # Linux allows 128 KiB for one variable; keys are smaller
CONFIGURATION_ERROR_EXIT_CODE: Final = 2

# What a Service named like the prefix puts into the environment of every pod of its namespace
# (Kubernetes, "Accessing the Service", environment variables).
_KUBERNETES_SERVICE: Final = re.compile(
    r"SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?",
    re.ASCII,
)
_MICROSECONDS: Final = re.compile("[1-9][0-9]{0,15}", re.ASCII)
_QUOTES: Final = "\"'"
_PROXY_VARIABLES: Final = ("http_proxy", "https_proxy", "all_proxy")  # what `urllib` looks for
# typed-settings parses the source of the class, and CPython counts the depth of such a tree for all
# threads together. If one thread lets another go on meanwhile (in a finalizer), and that one parses
# too, both may fail with `SystemError: AST constructor recursion depth mismatch`.
_PARSES_SOURCE: Final = threading.Lock()
_Settings = TypeVar("_Settings")


class ConfigurationError(SafeMessage, Exception):
    """Everything that is wrong with the environment; each line names its variable."""

    def __init__(self, problems: Iterable[str]) -> None:
        """Hold the lines."""
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def load(
    cls: type[_Settings],
    prefix: str,
    environ: Mapping[str, str] | None = None,
    *,
    beside: Iterable[type] = (),
) -> _Settings:
    """Return the settings of `PREFIX_*`, or raise `ConfigurationError` with all that is wrong.

    Without `environ`, they come from the process's own environment.
    `beside` are the classes of other commands with the same prefix: their variables are known,
    and not read. Threads that load at once follow one another.
    """
    environment = _Environment(prefix, os.environ if environ is None else environ)
    environment.note_unknown_variables([cls, *beside])
    with _PARSES_SOURCE:
        settings = ts.load_settings(cls, [environment], converter=environment)
    environment.note_cross_field_problems(settings)
    if environment.problems:
        raise ConfigurationError(environment.problems)
    return settings


def forget_proxies() -> None:
    """Take `HTTP_PROXY` and its like out of this process's environment.

    An outbound proxy is a setting of ours. Libraries that look for one by themselves (botocore,
    for the metadata service that gives it keys) find none.
    """
    for name in _PROXY_VARIABLES:
        os.environ.pop(name, None)
        os.environ.pop(name.upper(), None)


@frozen
class Supervision:
    """How a service manager wants to hear from this process (sd_notify(3), sd_watchdog_enabled(3)).

    It is `Supervision()` where nobody does.
    """

    address: str | None = None  # of a datagram socket; an abstract one begins with a zero byte
    watchdog_seconds: float | None = None  # a process that is silent for so long is restarted


def take_supervision() -> Supervision:
    """Take what systemd told this process out of its environment, where children would find it."""
    address = os.environ.pop("NOTIFY_SOCKET", "")
    microseconds = os.environ.pop("WATCHDOG_USEC", "")
    process = os.environ.pop("WATCHDOG_PID", str(os.getpid()))
    if address[:1] not in {"/", "@"} or len(address) == 1:  # systemd knows no other kind of ours
        return Supervision()
    is_watched = process == str(os.getpid()) and _MICROSECONDS.fullmatch(microseconds)
    return Supervision(
        f"\0{address[1:]}" if address.startswith("@") else address,
        int(microseconds) / 1e6 if is_watched else None,
    )


def exit_with_configuration_error(error: ConfigurationError) -> NoReturn:
    """Print every problem to standard error and exit with 2."""
    for problem in error.problems:
        print(problem, file=sys.stderr)  # noqa: T201  # words for people go to standard error
    sys.exit(CONFIGURATION_ERROR_EXIT_CODE)


@frozen
class _Given:
    """A setting's text on its way through typed-settings, whose messages quote the `repr`."""

    variable: str
    text: str = attrs.field(repr=False)
    form: Form = attrs.field(repr=False)


@frozen
class _Unreadable:
    """Stands for a field's value that is missing or wrong; that was noted."""


_UNREADABLE: Final = _Unreadable()


class _Environment:
    """The loader and the converter for typed-settings: it collects what is wrong."""

    def __init__(self, prefix: str, environ: Mapping[str, str]) -> None:
        self.problems: list[str] = []
        self._prefix = prefix
        self._environ = environ

    def __call__(self, settings_cls: type, options: OptionList) -> LoadedSettings:
        """Return the texts that are given (typed-settings' loader protocol)."""
        _refuse_quoting(settings_cls)
        given = {option.path: self._given(option) for option in options}
        found = {name: value for name, value in given.items() if value is not None}
        return LoadedSettings(dict(found), LoaderMeta(self))

    def structure(self, value: Any, cls: Any) -> Any:
        """Return the value of a text, and the instance of a whole dict (the converter protocol).

        The instance has no attribute for what could not be read.
        """
        if isinstance(value, dict):
            return _without_unreadable(cls(**value))
        if not isinstance(value, _Given):
            return value  # a default is a value already
        try:
            return self._parsed(value)
        except InvalidSettingError as error:
            self._note(value.variable, str(error) + _what_surrounds(value.text))
        except (ValueError, KeyError) as error:
            reason = f": {error}" if isinstance(error, SafeMessage) else ""
            surrounds = _what_surrounds(value.text)
            self._note(value.variable, f"expected {value.form.expected}{reason}{surrounds}")
        return _UNREADABLE

    def _parsed(self, value: "_Given") -> object:
        if not value.form.reads:
            return value.form.parse(value.text)
        others = {name: self._environ[name] for name in value.form.reads if name in self._environ}
        return value.form.parse(value.text, others)

    def get_structure_hook(self, _cls: Any) -> Callable[[Any, Any], Any]:
        """Return `structure` (the converter protocol)."""
        return self.structure

    def note_unknown_variables(self, classes: Iterable[type]) -> None:
        known = {name for cls in classes for name in self._variables(cls)}
        for name in sorted(self._environ.keys() - known):
            suffix = name.removeprefix(f"{self._prefix}_")
            if suffix != name and not _KUBERNETES_SERVICE.fullmatch(suffix):
                nearest = difflib.get_close_matches(name, known, n=1)
                self._note(ascii(name)[1:-1], f"unknown{_did_you_mean(nearest)}")

    def note_cross_field_problems(self, settings: Any) -> None:
        for field, expected in cross_field_problems(settings):
            is_missing = getattr(settings, field, None) is None
            required = "required; " if is_missing else ""
            self._note(self._variable(field), f"{required}expected {expected}")

    def _note(self, variable: str, problem: str) -> None:
        self.problems.append(f"{variable}: {problem}")

    def _variable(self, field: str) -> str:
        return f"{self._prefix}_{field.upper()}"

    def _variables(self, cls: type) -> Iterable[str]:
        for option in options_of(cls):
            yield self._variable(option.path)
            if not option.path.endswith("_file"):
                yield f"{self._variable(option.path)}_FILE"

    def _given(self, option: OptionInfo) -> _Given | _Unreadable | None:
        """Return what is given; None where the default holds."""
        variable = self._variable(option.path)
        form = form_of_option(option)
        text = self._environ.get(variable)
        file = None
        if not option.path.endswith("_file"):
            file = self._environ.get(f"{variable}_FILE")
        if text is not None and file is not None:
            self._note(variable, f"given twice, here and as {variable}_FILE")
        elif text is not None:
            return self._checked(variable, text, form)
        elif file is not None:
            return self._read_file(f"{variable}_FILE", file, form)
        elif option.has_default:
            return None
        else:
            self._note(variable, f"required; expected {form.expected}")
        return _UNREADABLE

    def _read_file(self, variable: str, path: str, form: Form) -> _Given | _Unreadable:
        try:
            text = read_bounded(parse_path(path), MAX_VALUE_FILE_BYTES).decode()
        except UnicodeDecodeError:
            self._note(variable, "expected a file of UTF-8 text")
        except TooLongFileError:
            self._note(variable, f"expected a file of at most {MAX_VALUE_FILE_BYTES} bytes")
        except OSError as error:
            why = f"{why_unreadable(error)}{_what_surrounds(path)}"
            self._note(variable, f"expected the path of a file that this process can read: {why}")
        except ValueError:
            self._note(variable, "expected the path of a file that this process can read")
        else:
            return self._checked(variable, _without_line_break(text), form)
        return _UNREADABLE

    def _checked(self, variable: str, text: str, form: Form) -> _Given | _Unreadable:
        if not text:
            self._note(variable, f"empty; leave it out, or give {form.expected}")
        elif not is_unicode(text):
            self._note(variable, "expected UTF-8 text")
        else:
            return _Given(variable, text, form)
        return _UNREADABLE


def options_of(cls: type) -> OptionList:
    """Return the options of a class of settings. It may be asked from any thread."""
    with _PARSES_SOURCE:
        return deep_options(cls)


def form_of_option(option: OptionInfo) -> Form:
    """Return the form of a setting, with its own words for what is expected."""
    form = form_of(option.cls)
    expected = option.metadata.get("help")
    return attrs.evolve(form, expected=expected) if expected else form


def _refuse_quoting(cls: type) -> None:
    for field in attrs.fields(cast("type[attrs.AttrsInstance]", cls)):
        if field.validator is not None or field.converter is not None:
            raise TypeError(f"{cls.__name__}.{field.name}: a bound of a setting is a Form")


def _without_unreadable(settings: _Settings) -> _Settings:
    for field in attrs.fields(cast("type[attrs.AttrsInstance]", type(settings))):
        if isinstance(getattr(settings, field.name), _Unreadable):
            object.__delattr__(settings, field.name)
    return settings


def _did_you_mean(nearest: list[str]) -> str:
    return f"; did you mean {nearest[0]}?" if nearest else ""


def _what_surrounds(text: str) -> str:
    """Return what may have come into a wrong value from the file in which it stands."""
    if text.endswith("\r"):
        return "; the value ends with a carriage return, as of a file with Windows' line ends"
    if len(text) > 1 and text[0] == text[-1] and text[0] in _QUOTES:
        return "; the value has quotes around it, which belong to it here: leave them out"
    if text != text.strip():
        return "; the value has a blank before or behind it, which belongs to it here"
    return ""


def _without_line_break(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r")


def is_unicode(text: str) -> bool:
    """Tell whether an argument or a variable was UTF-8: other bytes in them become surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
