"""Verified bytes on disk: content-addressed blobs, arriving ones, and who may read them."""
