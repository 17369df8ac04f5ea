"""Keeps a device on what its fleet has signed, whoever carries the bytes.

The agent believes one thing: the TUF root that was pinned at `install`. The mirror of the metadata,
the facade and the registries behind it may all lie at once.
"""

__version__ = "0.1.0"
