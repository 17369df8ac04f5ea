"""The `facade` command, and `python -m facade`."""

from facade.cli import main as command
from shared.hangup import ignore_hangups_of_serve


def main() -> None:
    """Run the command of this process's arguments."""
    ignore_hangups_of_serve()
    command()


if __name__ == "__main__":
    main()
