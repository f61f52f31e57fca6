"""Countries by address: the registries' allocations, or a database of the user's."""

from pathlib import Path

import iptocc
import maxminddb

from services.runtime.settings import SettingsError
from services.storefront.domain import Countries


def sources(maxmind: Path | None) -> list[Countries]:
    """Return the sources in the order in which they are asked.

    Raises SettingsError when the user's database cannot be read.
    """
    registries = Countries(name="country", look_up=_allocated)
    if maxmind is None:
        return [registries]
    try:
        reader = maxminddb.open_database(maxmind)
    except (OSError, maxminddb.InvalidDatabaseError) as error:
        raise SettingsError(f"SHOP_MAXMIND={maxmind}: {error}") from error

    def look_up(address: str) -> str | None:
        record = reader.get(address)
        country = record.get("country") if isinstance(record, dict) else None
        code = country.get("iso_code") if isinstance(country, dict) else None
        return code if isinstance(code, str) else None

    return [Countries(name="maxmind", look_up=look_up), registries]


def _allocated(address: str) -> str | None:
    try:
        found = iptocc.country_code(address)
    except ValueError:
        return None
    return found if isinstance(found, str) else None
