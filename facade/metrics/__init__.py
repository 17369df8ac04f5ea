"""What is counted, and what is wrong, part by part."""
