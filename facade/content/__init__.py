"""What a pull is answered with: the store, what arrives, or upstream."""
