"""The program."""

from device_repository.cli import main

if __name__ == "__main__":
    main()
