"""Programs of ours that have imported what they are made of: a start is a fork."""
