"""What the shop tells about itself, and what can be proved from it."""
