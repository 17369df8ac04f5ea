"""`docs/settings.md`, made of what both programs print: `make docs` writes it, a test compares."""

from collections.abc import Iterator

from control_plane.commands.settings import control_plane_settings
from facade.commands.settings import facade_settings
from shared.settings_table import as_markdown

_HEAD = """# Settings

Made by `make docs` of `facade settings --markdown` and `control-plane settings --markdown`; do not
edit it by hand.

- Settings are environment variables. Each may also be given as `NAME_FILE`, the path of a file that
  holds the value, unless its name ends in `_FILE` already: then it is itself the path of a file.
- Sizes are `10GiB`, `512MiB` or bytes; durations are `250ms`, `30s`, `5m`, `24h` or `90d`.
- An empty value is an error, and so is a variable with the prefix that no setting has. Every error
  is listed at once, by the variable's name and never with its value; the exit status is then 2.
"""


def page() -> str:
    """Return the page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _HEAD
    yield "## Facade\n"
    yield from as_markdown(facade_settings())
    yield "\n## Control plane\n"
    yield from as_markdown(control_plane_settings())


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201  # it is what the program is for
