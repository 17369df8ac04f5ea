"""`control-plane devices`: revoking devices and lifting revocations, through the API."""

from collections.abc import AsyncIterator, Mapping, Sequence

import click

from control_plane.commands.answers import BatchAnswer, BatchItemAnswer, RevocationAnswer
from control_plane.commands.api_client import ApiClient, Json
from control_plane.commands.certainty import require_certainty, yes_option
from control_plane.commands.columns import one_line
from control_plane.commands.device_file import batches, read_devices
from control_plane.commands.given_file import GivenFile, GivenFileType
from control_plane.commands.named_revocation import PATH, named_revocation
from control_plane.commands.printing import (
    ListPrinter,
    print_document,
    print_items,
    print_value,
    wide,
)
from control_plane.commands.proposed_names import propose_revocations
from control_plane.commands.revocation_list import (
    SERIAL_PREFIX,
    name_of,
    print_revocation_rows,
    print_revocations,
)
from control_plane.commands.running import command, say
from control_plane.commands.usage import Group, require_no_contradiction
from control_plane.commands.watching import changed_items, until_interrupted, watch
from control_plane.serving.config import ClientSettings
from control_plane.serving.environment import settings
from shared.output_form import OutputForm, output_form


@click.group(cls=Group)
def devices() -> None:
    """Revoke devices, list the revocations in force, and lift them, through the API.

    Settings: CONTROL_PLANE_URL, CONTROL_PLANE_TOKEN, CONTROL_PLANE_CA_FILE.
    """


@devices.command(
    examples=(
        (
            "control-plane devices revoke spiffe://example.com/fleet/line-a/device/press-7"
            " --reason stolen"
        ),
        "control-plane devices revoke --serial 0A:BC:1F",
        "control-plane devices revoke --from devices.txt --reason 'decommissioned'",
    )
)
@click.argument("device", required=False)
@click.option("--serial", help="One certificate, by its serial number in hexadecimal.")
@click.option("--issuer", help="With --serial: of this issuer alone, as RFC 4514.")
@click.option(
    "--from",
    "file",
    type=GivenFileType(),
    help="Of a file (- for standard input), one a line: DEVICE, serial:HEX or serial:HEX ISSUER.",
)
@click.option("--reason", default="", help="For people; stays in the audit log.")
@yes_option
@output_form
@command
async def revoke(
    device: str | None,
    serial: str | None,
    issuer: str | None,
    file: GivenFile | None,
    reason: str,
    *,
    yes: bool,
    form: OutputForm | None,
) -> None:
    """Stop serving a DEVICE, by the id in its certificate, or one certificate, by its serial.

    New requests are refused and running streams cut within a second. What is revoked already
    stays as it was. From a file, 10,000 at a time are revoked: all of them or none.

    At a terminal it asks first.
    """
    require_no_contradiction(
        (
            "give one of DEVICE, --serial and --from"
            if sum(each is not None for each in (device, serial, file)) != 1
            else None,
            "give --issuer with --serial" if issuer is not None and serial is None else None,
        )
    )
    if file is not None:
        asked = read_devices(file, reason)
        _require_certainty(f"the {len(asked)} of the file", yes=yes)
        await _revoke_all(asked, form=form)
        return
    issued = f" of {issuer}" if issuer else ""
    who = f"{SERIAL_PREFIX}{serial}{issued}" if device is None else device
    _require_certainty(who, yes=yes)
    given = {"device": device, "serial": serial, "issuer": issuer, "reason": reason}
    body: Json = {name: value for name, value in given.items() if value}
    async with ApiClient.open(settings(ClientSettings)) as api:
        view = await api.answer(RevocationAnswer, "POST", PATH, body=body)
    if form:
        print_value(view, form)
        return
    who = name_of(view)
    why = f", reason: {view['reason']}" if view["reason"] else ""
    click.echo(
        one_line(
            f"{who} is served no longer; {view['revoked_by']} revoked it at"
            f" {view['revoked_at']}{why}"
        )
    )
    say("New requests are refused, and running streams are cut within a second.")
    for note in view.get("notes", ()):
        say(f"WARNING: {note}.")
    lift_by = view["id"] if view["issuer"] else who
    say(f"To serve it again: control-plane devices lift {lift_by}")


def _require_certainty(who: str, *, yes: bool) -> None:
    told = f"New requests of {who} are refused at once, and running streams are cut."
    require_certainty([told], f"Revoke {who}?", yes=yes)


async def _revoke_all(asked: Sequence[Json], *, form: OutputForm | None) -> None:
    """Revoke all that are asked for, a batch with each call; print an answer for each device."""
    async with ApiClient.open(settings(ClientSettings)) as api:

        async def answers() -> AsyncIterator[list[BatchItemAnswer]]:
            for batch in batches(asked):
                answer = await api.answer(
                    BatchAnswer, "POST", PATH, "batch", body={"revocations": batch}
                )
                yield answer["items"]

        if form:
            await print_items(answers(), form)
            return
        new = before = 0
        async for items in answers():
            for item in items:
                was = "is served no longer" if item["is_new"] else "was revoked already"
                click.echo(one_line(f"{name_of(item['revocation'])} {was}"))
                new, before = new + item["is_new"], before + (not item["is_new"])
            for note in sorted(
                {note for item in items for note in item["revocation"].get("notes", ())}
            ):
                say(f"WARNING: {note}.")
    say(f"{new} revoked, {before} were revoked already")


@devices.command(
    "list",
    examples=(
        "control-plane devices list",
        "control-plane devices list --serial 0A:BC:1F",
    ),
)
@click.argument("device", required=False)
@click.option("--serial", help="Of certificates of this serial number, whoever issued them.")
@click.option("--issuer", help="With --serial: revoked with this issuer alone.")
@wide
@watch
@output_form
@command
async def list_revocations(
    device: str | None,
    serial: str | None,
    issuer: str | None,
    *,
    wide: bool,
    watch: bool,
    form: OutputForm | None,
) -> None:
    """List every revocation in force, or those of a DEVICE or certificate."""
    require_no_contradiction(
        (
            "give a DEVICE or --serial" if device is not None and serial is not None else None,
            "give --issuer with --serial" if issuer is not None and serial is None else None,
        )
    )
    about = {"device": device, "serial": serial, "issuer": issuer}
    query = {name: value for name, value in about.items() if value}
    if serial is not None and not issuer:
        query["any_issuer"] = "true"
    async with ApiClient.open(settings(ClientSettings)) as api:
        if watch:
            await until_interrupted(_watch_list(api, query, form, wide=wide))
            return
        pages = api.pages(RevocationAnswer, PATH, query=query)
        if form:
            await print_items((page.items async for page in pages), form)
        else:
            await print_revocations(pages, wide=wide, whole_ids=bool(query))


async def _watch_list(
    api: ApiClient, query: Mapping[str, str], form: OutputForm | None, *, wide: bool
) -> None:
    printer = ListPrinter(wide=wide)
    async for views in changed_items(
        lambda: api.items(RevocationAnswer, PATH, query=query),
        lambda view: f"{name_of(view)} ({view['id']})",
    ):
        if form is None:
            print_revocation_rows(views, printer, whole_ids=True)
            continue
        for view in views:
            print_document(view, form)


@devices.command(examples=("control-plane devices lift serial:0abc1f",))
@click.argument("revocation", metavar="REVOCATION", shell_complete=propose_revocations)
@output_form
@command
async def lift(revocation: str, *, form: OutputForm | None) -> None:
    """Serve a device again: lift the REVOCATION.

    It is named by its id, an unambiguous beginning of that, the device, or serial:HEX. If several
    of a serial number are in force, they are listed; name one of them by its id.
    """
    async with ApiClient.open(settings(ClientSettings)) as api:
        revocation_id = await named_revocation(api, revocation)
        view = await api.answer(RevocationAnswer, "GET", PATH, revocation_id)
        await api.call("DELETE", PATH, revocation_id)
    if form:
        print_value(view, form)
        return
    click.echo(one_line(f"{name_of(view)} is served again; the revocation {view['id']} is lifted"))
    say("It is still refused if its certificate and its device were both revoked.")
