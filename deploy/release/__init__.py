"""Makes what is delivered: images, packages, and the list of what is in them."""
