"""The shop's tables, declared once, and the DDL each database makes of them."""
