"""Signs what the devices of small fleets run: a TUF repository in a folder."""
