"""The development stack: real parts, started from this checkout alone, on loopback, under .dev/."""
