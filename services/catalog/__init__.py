"""Products, list prices and contract prices."""
