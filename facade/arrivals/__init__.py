"""Blobs that come from upstream: one download for everybody, verified on the way into the store."""
