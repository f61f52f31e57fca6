"""Production-like data of the shop, all of it from one integer."""

from cockroach.seed.load import load_global, load_region
from cockroach.seed.rows import (
    CORPORATE_PER_REGION,
    CUSTOMERS_PER_REGION,
    DEFAULT_SEED,
    ORDERS_PER_REGION,
    PRODUCTS,
    SeedData,
    generate,
)

__all__ = [
    "CORPORATE_PER_REGION",
    "CUSTOMERS_PER_REGION",
    "DEFAULT_SEED",
    "ORDERS_PER_REGION",
    "PRODUCTS",
    "SeedData",
    "generate",
    "load_global",
    "load_region",
]
