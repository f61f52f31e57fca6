"""The way into the shop: who is calling from where, and where that is served."""
