"""The configuration: `agent.toml`, read once into values. Every mistake is said with its place.

What runs on a device, and how, is for the device's owner to say: the slots, the options of a
container, the place of a model. The fleet's keys say only which bytes fill a slot.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import cattrs
from attrs import Attribute, field, frozen
from attrs.validators import ge

from device_agent.durable import read_bounded
from device_agent.errors import ConfigurationError
from device_agent.grammar import is_name

MAX_CONFIGURATION_BYTES: Final = 256 * 1024
MAX_SLOTS: Final = 64
MIB: Final = 1024 * 1024


def _https(_: object, attribute: "Attribute[str]", url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{attribute.name} is to be an https address without a query")
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"{attribute.name} bears a user: devices show certificates")


def _name(_: object, attribute: "Attribute[str]", text: str) -> None:
    if not is_name(text):
        raise ValueError(f"{attribute.name} is to be letters, digits, '.', '_', '-'")


@frozen
class Peer:
    """A server, whom the device believes to be it, and what the device shows of itself."""

    url: str = field(validator=_https)
    ca: Path
    certificate: Path | None = None
    key: Path | None = None

    def __attrs_post_init__(self) -> None:
        """A certificate is nothing without its key."""
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")


@frozen
class HealthCheck:
    """A command that ends with 0 when all is well. It may fail until `within_seconds` are over.

    `{container}` in its words is the name of the slot's container.
    """

    command: tuple[str, ...] = ()
    within_seconds: float = field(default=30.0, validator=ge(0))
    each_seconds: float = field(default=10.0, validator=ge(0.1))  # a try's own


@frozen
class ContainerSlot:
    """A container that podman runs. `options` go to `podman create`, `command` to the image."""

    options: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    health: HealthCheck = HealthCheck()
    kind: Literal["container"] = "container"


@frozen
class ModelSlot:
    """A file. `reload` is run when it was replaced, before the health check."""

    path: Path
    reload: tuple[str, ...] = ()
    health: HealthCheck = HealthCheck()
    kind: Literal["model"] = "model"


Slot = ContainerSlot | ModelSlot


@frozen
class Limits:
    """How much patience the device has, and what it keeps free.

    The defaults fit a link of a few KiB/s. A peer may take `head_seconds` to begin an answer (the
    facade may have to fetch it), and then sends `window_bytes` in each `window_seconds`, or is cut.
    """

    head_seconds: float = field(default=60.0, validator=ge(0.1))
    window_seconds: float = field(default=60.0, validator=ge(0.1))
    window_bytes: int = field(default=64 * 1024, validator=ge(1))
    retry_seconds: float = field(default=2.0, validator=ge(0))  # the first pause; it doubles
    keep_free_bytes: int = field(default=64 * MIB, validator=ge(0))
    max_blob_bytes: int = field(default=1024 * 1024 * MIB, validator=ge(1))


@frozen
class Configuration:
    """`agent.toml`."""

    fleet: str = field(validator=_name)
    device: str = field(validator=_name)
    metadata: Peer
    facade: Peer
    slots: Mapping[str, Slot]
    state: Path = Path("/var/lib/device-agent")
    podman: tuple[str, ...] = ("podman",)
    limits: Limits = Limits()

    def __attrs_post_init__(self) -> None:
        """Slots have names that may stand in a target's name and in a container's."""
        if not 0 < len(self.slots) <= MAX_SLOTS:
            raise ValueError(f"slots: at least one, at most {MAX_SLOTS}")
        if wrong := [name for name in self.slots if not is_name(name)]:
            raise ValueError(f"slots: {wrong[0]!r} is no name of letters, digits, '.', '_', '-'")


def read_configuration(path: Path) -> Configuration:
    """Return what a file says; ConfigurationError names every mistake of it."""
    content = read_bounded(path, MAX_CONFIGURATION_BYTES)
    try:
        return _CONVERTER.structure(tomllib.loads(content.decode()), Configuration)
    except (ValueError, cattrs.BaseValidationError) as error:
        words = "\n  ".join(_mistakes(error))
        raise ConfigurationError(f"{path}:\n  {words}") from error


def _mistakes(error: Exception) -> list[str]:
    if isinstance(error, cattrs.BaseValidationError):
        return cattrs.transform_error(error, "agent.toml", format_exception=_words)
    return [str(error)]


def _words(error: BaseException, _: type | None) -> str:
    match error:
        case KeyError():
            return f"{error.args[0]} is missing"
        case cattrs.ForbiddenExtraKeysError():
            return f"nobody knows {', '.join(sorted(error.extra_fields))}"
        case _:
            return str(error)


def _slot(table: Any, _: object) -> Slot:
    kinds: dict[object, type[ContainerSlot | ModelSlot]] = {
        "container": ContainerSlot,
        "model": ModelSlot,
    }
    kind = table.get("kind") if isinstance(table, Mapping) else None
    if kind not in kinds:
        raise ValueError("kind is to be container or model")
    return _CONVERTER.structure(table, kinds[kind])


def _text(value: Any, _: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"a text, and not {type(value).__name__}")  # noqa: TRY004 cattrs' own
    return value


def _path(value: Any, kind: object) -> Path:
    path = Path(_text(value, kind))
    if not path.is_absolute():
        raise ValueError("a path is to begin with /")
    return path


def _number(value: Any, kind: type) -> Any:
    if isinstance(value, bool) or not isinstance(value, int if kind is int else (int, float)):
        raise ValueError("a number")  # noqa: TRY004 cattrs' own
    return value


_CONVERTER: Final = cattrs.Converter(forbid_extra_keys=True)
_CONVERTER.register_structure_hook(Path, _path)
_CONVERTER.register_structure_hook(str, _text)
_CONVERTER.register_structure_hook(int, _number)
_CONVERTER.register_structure_hook(float, _number)
_CONVERTER.register_structure_hook(Slot, _slot)
