"""Who may read what is stored: rights, how they are proven, proven again, and ended."""
