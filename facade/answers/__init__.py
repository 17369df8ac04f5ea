"""What a device is told: the header fields of every answer, and every error."""
