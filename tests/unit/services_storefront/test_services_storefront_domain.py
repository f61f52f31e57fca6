"""Addresses become regions by rules that are told."""

from ipaddress import ip_address, ip_network

import pytest

from cockroach.topology import REGIONS
from services.runtime.settings import SettingsError
from services.storefront import geography
from services.storefront.countries import REGION_OF_COUNTRY
from services.storefront.domain import (
    Block,
    Countries,
    IpRouter,
    client_address,
    parse_address,
    peer_address,
)

BLOCKS = [
    Block(
        start=ip_address("203.0.113.0"),
        end=ip_address("203.0.113.127"),
        region="eu",
        owner="Rhine Logistik",
    ),
    Block(
        start=ip_address("203.0.113.128"),
        end=ip_address("203.0.113.255"),
        region="asia",
        owner="Harbour Trading",
    ),
    Block(
        start=ip_address("2001:db8::"),
        end=ip_address("2001:db8::ffff"),
        region="us",
        owner="Six",
    ),
]
TABLE = {"198.18.0.1": "DE", "198.18.0.2": "JP", "198.18.0.3": "AQ"}
TRUSTED = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


@pytest.fixture
def router():
    countries = [Countries(name="country", look_up=TABLE.get)]
    return IpRouter(BLOCKS, countries=countries, default="us")


@pytest.mark.parametrize(
    ("address", "region", "rule", "block"),
    [
        ("203.0.113.0", "eu", "block:Rhine Logistik", "203.0.113.0-203.0.113.127"),
        ("203.0.113.127", "eu", "block:Rhine Logistik", "203.0.113.0-203.0.113.127"),
        (
            "203.0.113.128",
            "asia",
            "block:Harbour Trading",
            "203.0.113.128-203.0.113.255",
        ),
        ("203.0.112.255", "us", "default", "203.0.112.0/24"),
        ("203.0.114.0", "us", "default", "203.0.114.0/24"),
        ("198.18.0.1", "eu", "country:DE", "198.18.0.0/24"),
        ("198.18.0.2", "asia", "country:JP", "198.18.0.0/24"),
        ("198.18.0.3", "us", "default", "198.18.0.0/24"),
        ("2001:db8::1", "us", "block:Six", "2001:db8::-2001:db8::ffff"),
        ("2001:db9::1", "us", "default", "2001:db9::/48"),
    ],
)
def test_blocks_come_first_then_countries_then_home(
    router, address, region, rule, block
):
    """A declared block overrides the country; without either we serve it ourselves."""
    decision = router.decide(ip_address(address))

    assert (region, rule, block) == (decision.region, decision.rule, decision.block)


@pytest.mark.parametrize(
    ("address", "country"),
    [
        ("17.0.0.1", "US"),
        ("193.0.0.1", "NL"),
        ("133.1.1.1", "JP"),
        ("198.51.100.7", None),
        ("127.0.0.1", None),
        ("2001:67c:2e8::1", "NL"),
    ],
)
def test_countries_are_those_of_the_registries(address, country):
    """Real allocations: Apple's network, the RIPE NCC's, a Japanese university's."""
    (registries,) = geography.sources(None)

    assert country == registries.look_up(address)


def test_an_unreadable_database_of_the_users_is_named(tmp_path):
    """A file that is no MaxMind database is refused at the start."""
    path = tmp_path / "countries.mmdb"
    path.write_text("nothing")

    with pytest.raises(SettingsError, match="SHOP_MAXMIND"):
        geography.sources(path)


def test_every_country_has_one_region_of_ours():
    """The table names ISO codes and our regions, and knows most of the world."""
    assert set(REGIONS) == set(REGION_OF_COUNTRY.values())
    assert all(len(code) == 2 and code.isupper() for code in REGION_OF_COUNTRY)
    assert len(REGION_OF_COUNTRY) > 235


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:127.0.0.1:5000", "127.0.0.1"),
        ("ipv6:[::1]:5000", "::1"),
        ("ipv6:%5B::1%5D:5000", "::1"),
        ("unix:/tmp/shop", None),
        ("", None),
    ],
)
def test_peers_are_read_as_grpc_writes_them(peer, address):
    """Both spellings of IPv6 are understood."""
    assert peer_address(peer) == (ip_address(address) if address else None)


def test_mapped_addresses_are_plain_ones():
    """An IPv4 address in IPv6 clothes is still that address."""
    assert parse_address("::ffff:203.0.113.9") == ip_address("203.0.113.9")
    assert parse_address("somewhere") is None


@pytest.mark.parametrize(
    ("peer", "told", "seen", "ours"),
    [
        ("127.0.0.1", "203.0.113.9", "203.0.113.9", True),
        ("192.0.2.1", "203.0.113.9", "192.0.2.1", False),
        ("127.0.0.1", "", "127.0.0.1", True),
        ("127.0.0.1", "not an address", "127.0.0.1", True),
        (None, "203.0.113.9", "203.0.113.9", True),
    ],
)
def test_only_trusted_peers_are_believed(peer, told, seen, ours):
    """A stranger cannot choose the address it is judged by."""
    address, trusted = client_address(ip_address(peer) if peer else None, told, TRUSTED)

    assert (ip_address(seen), ours) == (address, trusted)
