"""Tests of `control_plane/webhooks/`: what is pure in it."""
