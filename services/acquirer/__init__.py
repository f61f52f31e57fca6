"""The card network: outside the shop's control, one for the whole world."""
