"""The `facade` command, and `python -m facade`."""

from shared.hangup import ignore_hangups_of_serve
from shared.importing import without_collecting


def main() -> None:
    """Run the command of this process's arguments."""
    ignore_hangups_of_serve()
    with without_collecting():
        from facade.cli import main as command  # noqa: PLC0415 - it takes most of a start

    command()


if __name__ == "__main__":
    main()
