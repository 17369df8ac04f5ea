"""Verified bytes on disk: content-addressed blobs, arriving ones, and the index of both."""
