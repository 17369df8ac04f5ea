"""The `facade` command, and `python -m facade`."""

from facade.cli import main as command
from shared.hangup import ignore_hangups_of_serve
from shared.lost_output import telling_lost_output


def main() -> None:
    """Run the command of this process's arguments."""
    ignore_hangups_of_serve()
    with telling_lost_output():
        command()


if __name__ == "__main__":
    main()
