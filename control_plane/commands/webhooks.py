"""`control-plane webhooks`: the targets of the file, and trying one from where this runs."""

import difflib
import time
from typing import Final

import click

from control_plane.clock import now
from control_plane.commands.columns import Column
from control_plane.commands.printing import print_list, print_value, wide
from control_plane.commands.running import command, fail, say
from control_plane.commands.usage import Group
from control_plane.serving.config import WebhookSettings
from control_plane.serving.environment import settings
from control_plane.webhooks.delivery import Delivered, Delivery, DeliveryOutcome
from control_plane.webhooks.event import CHOSEN_KINDS
from control_plane.webhooks.payload import event_of_test
from control_plane.webhooks.targets_file import SETTING, TargetsFile, TargetsFileError
from control_plane.webhooks.webhook_target import WebhookTarget
from shared.environment import ConfigurationError
from shared.output_form import OutputForm, output_form
from shared.upstream.transport import TransportResources

_COLUMNS: Final = (Column("NAME"), Column("SECRETS"), Column("EVENTS", least=20))
_NO_FILE: Final = (
    "it names no file, so nobody is told what happens. Write one with `targets`, each with a name,"
    " a url and secrets (docs/webhooks.md has an example;"
    ' `echo "whsec_$(openssl rand -base64 32)"` makes a secret), and name it here and for `serve`'
)
_WORDS: Final = {
    DeliveryOutcome.DELIVERED: "it was taken",
    DeliveryOutcome.GONE: "the target says that it is gone; `serve` would send it nothing more",
    DeliveryOutcome.RATE_LIMITED: "the target asks to wait",
    DeliveryOutcome.REFUSED: "the target refuses it: does it verify with one of these secrets?",
    DeliveryOutcome.SERVER_ERROR: "the target failed",
    DeliveryOutcome.REDIRECT: "the target redirects, which is not followed: name the last URL",
    DeliveryOutcome.TIMEOUT: "no answer in time",
    DeliveryOutcome.NOT_RESOLVED: "the host's name does not resolve here",
    DeliveryOutcome.NOT_ALLOWED: "its address is not public: name its network in allowed_networks",
    DeliveryOutcome.TLS: "the TLS handshake failed: name the CA in ca_certificate",
    DeliveryOutcome.CONNECT: "the connection failed, or ended before an answer",
}


@click.group(cls=Group)
def webhooks() -> None:
    """List and try the targets that are told what happens.

    They stand in a file, which CONTROL_PLANE_WEBHOOKS_FILE names for `serve` and here.
    """


@webhooks.command("list", examples=("control-plane webhooks list",))
@wide
@output_form
@command
async def list_targets(*, wide: bool, form: OutputForm | None) -> None:
    """List the targets of the file: how many secrets each has, and which events it is sent.

    URLs and secrets are not shown. How `serve` gets on with a target is in its metrics and in the
    notes of `/readyz`.
    """
    targets = _targets(settings(WebhookSettings))
    if form:
        print_value([_view(target) for target in targets], form)
        return
    rows = [_row(target) for target in targets]
    print_list(_COLUMNS, rows, nothing="the file names no targets", wide=wide)


@webhooks.command("test", examples=("control-plane webhooks test pager",))
@click.argument("name", metavar="TARGET")
@output_form
@command
async def test_target(*, name: str, form: OutputForm | None) -> None:
    """Send one signed event of type webhook.test to a target, from where this runs."""
    configured = settings(WebhookSettings)
    target = _named(_targets(configured), name)
    async with Delivery.open(
        target, proxy=configured.outbound_proxy, resources=TransportResources()
    ) as delivery:
        began = time.monotonic()
        delivered = await delivery.send(event_of_test(target.name, now()), now())
    seconds = time.monotonic() - began
    if form:
        print_value(_outcome(target, delivered, seconds), form)
    words = f"{target.name}: {_said(delivered)} ({seconds:.2f} s)"
    if not delivered.is_success:
        fail(words)
    say(words)


def _view(target: WebhookTarget) -> dict[str, object]:
    chosen = [kind.value for kind in CHOSEN_KINDS if target.wants(kind)]
    return {"name": target.name, "secrets": len(target.secrets), "events": chosen}


def _outcome(target: WebhookTarget, delivered: Delivered, seconds: float) -> dict[str, object]:
    return {
        "target": target.name,
        "outcome": delivered.outcome.value,
        "status": delivered.status,
        "seconds": round(seconds, 3),
    }


def _row(target: WebhookTarget) -> list[str]:
    chosen = [kind for kind in CHOSEN_KINDS if target.wants(kind)]
    events = "all" if len(chosen) == len(CHOSEN_KINDS) else ", ".join(chosen)
    return [target.name, str(len(target.secrets)), events]


def _said(delivered: Delivered) -> str:
    words = _WORDS[delivered.outcome]
    return f"it answered {delivered.status}, {words}" if delivered.status else words


def _targets(configured: WebhookSettings) -> tuple[WebhookTarget, ...]:
    if configured.webhooks_file is None:
        raise ConfigurationError([f"{SETTING}: {_NO_FILE}"])
    try:
        return TargetsFile.load(configured.webhooks_file).current
    except TargetsFileError as error:
        raise ConfigurationError([f"{SETTING}: {error}"]) from None


def _named(targets: tuple[WebhookTarget, ...], name: str) -> WebhookTarget:
    """Return the target; raise `click.UsageError`, which suggests a similar name."""
    names = [target.name for target in targets]
    for target in targets:
        if target.name == name:
            return target
    nearest = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {nearest[0]}?" if nearest else f"there are {', '.join(names)}"
    raise click.UsageError(f"the file names no such target; {hint}")
