"""`python -m control_plane` is `control-plane`."""

from control_plane.cli import main

main()
