"""What else a visitor might like: nice to have, never needed."""
