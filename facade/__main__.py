"""`python -m facade`: the same as the `facade` command."""

from facade.cli import main

if __name__ == "__main__":
    main()
