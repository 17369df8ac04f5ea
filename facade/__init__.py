"""The device endpoint: verifies statements, opens secrets, streams verified bytes over mTLS."""
