"""Device revocations: made, lifted, and shown."""
