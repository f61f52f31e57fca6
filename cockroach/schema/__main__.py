"""`python -m cockroach.schema`: print the DDL of the shop, for people to read.

Exit codes: 0 done, 2 usage.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

from cockroach.schema.cockroachdb import CockroachLayout
from cockroach.schema.declare import DeclarationError
from cockroach.schema.embedded import EmbeddedLayout
from cockroach.schema.naive import NAIVE
from cockroach.schema.postgres import PostgresLayout
from cockroach.schema.tables import SHOP
from cockroach.topology import PRIMARY, REGIONS

_SCHEMAS = {"shop": SHOP, "naive": NAIVE}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cockroach.schema", description=__doc__
    )
    parser.add_argument(
        "--database",
        choices=("cockroachdb", "postgresql", "embedded"),
        default="cockroachdb",
        help="whose words to use",
    )
    parser.add_argument(
        "--schema",
        choices=tuple(_SCHEMAS),
        default="shop",
        help="the shop's, or the case study's without any locality",
    )
    parser.add_argument(
        "--survive",
        choices=("zone", "region"),
        default="zone",
        help="CockroachDB: what the database survives the loss of",
    )
    parser.add_argument(
        "--presplit-days",
        type=int,
        help="CockroachDB: print, in place of the tables, how their ranges are cut",
    )
    parser.add_argument(
        "--region", choices=REGIONS, default=PRIMARY, help="embedded: whose server"
    )
    return parser


def _statements(options: argparse.Namespace) -> Iterable[str]:
    schema = _SCHEMAS[options.schema]
    if options.database == "postgresql":
        return PostgresLayout(schema=schema).create()
    if options.database == "embedded":
        return EmbeddedLayout(region=options.region, schema=schema).create()
    layout = CockroachLayout(schema=schema, survival=options.survive)
    if options.presplit_days is not None:
        return layout.presplit(options.presplit_days)
    return layout.create()


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and print."""
    options = _parser().parse_args(arguments)
    try:
        made = list(_statements(options))
    except DeclarationError as error:
        sys.stderr.write(f"schema: {error}\n")
        return 2
    sys.stdout.write(";\n\n".join(made) + ";\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
