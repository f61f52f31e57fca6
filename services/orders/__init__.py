"""Orders of one region: the checkout saga, its history, and the intake."""
