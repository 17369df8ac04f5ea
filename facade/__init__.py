"""The device endpoint: verifies statements, opens secrets, streams verified bytes over mTLS."""

from facade.environment import load_openssl

load_openssl()  # before any other module of the facade loads it
