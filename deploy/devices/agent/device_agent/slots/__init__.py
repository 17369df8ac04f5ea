"""What a release is applied to."""
