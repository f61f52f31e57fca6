"""Carts, kept in the home region of their customers."""
