"""What a pull is made of: path, range, device, piece. Pure values, made once at the edge."""
