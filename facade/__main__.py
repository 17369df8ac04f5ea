"""The `facade` command, and `python -m facade`."""

from shared.hangup import ignore_hangups_of_serve


def main() -> None:
    """Run the command of this process's arguments."""
    ignore_hangups_of_serve()
    from facade.cli import main as command  # noqa: PLC0415 - what it imports takes a second

    command()


if __name__ == "__main__":
    main()
