"""Settings: read once, checked whole."""

from pathlib import Path

import pytest

from cockroach.plans import PlanPolicy
from services.runtime.settings import Settings, SettingsError, Tls

GIVEN = {
    "SHOP_SERVICE": "catalog",
    "SHOP_REGION": "eu",
    "SHOP_ZONE": "b",
    "SHOP_LISTEN": "127.0.0.1:7103",
    "SHOP_POLICIES": "/etc/shop/policies.json",
    "PATH": "/usr/bin",
}


def test_what_is_not_given_has_a_default():
    """Only name, place, address and policies have to be given."""
    settings = Settings.from_env(GIVEN)

    assert settings.instance == "catalog-eu-b"
    assert settings.max_concurrent == 200
    assert settings.max_message_bytes == 256 * 1024
    assert settings.max_metadata_bytes == 16 * 1024
    assert settings.drain_s == 5.0
    assert settings.tls is None
    assert settings.database is None
    assert [str(one) for one in settings.trusted_peers] == ["127.0.0.0/8", "::1/128"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, PlanPolicy(after_s=0.1, sample=0)),
        ({"SHOP_PLANS_SAMPLE": "1000"}, PlanPolicy(after_s=0.1, sample=1000)),
        ({"SHOP_PLANS_AFTER_S": "0"}, PlanPolicy(after_s=0)),
        (
            {"SHOP_PLANS_AFTER_S": "0.25", "SHOP_PLANS_SAMPLE": "0"},
            PlanPolicy(after_s=0.25),
        ),
    ],
)
def test_whose_plans_are_asked_for_is_a_setting(given, expected):
    """Slow statements by default; 0 seconds is all of them, a sample of 0 none."""
    assert expected == Settings.from_env(GIVEN | given).plans


def test_all_three_tls_files_make_mutual_tls():
    """Certificate, key and authority go together."""
    files = {f"SHOP_TLS_{name}": f"/{name}" for name in ("CERT", "KEY", "CA")}

    settings = Settings.from_env(GIVEN | files)

    assert Tls(cert=Path("/CERT"), key=Path("/KEY"), ca=Path("/CA")) == settings.tls


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"SHOP_LISTNE": "x"}, "unknown setting SHOP_LISTNE"),
        ({"SHOP_SERVICE": "warehouse"}, "expected one of acquirer, cart"),
        ({"SHOP_REGION": ""}, "SHOP_REGION is not set"),
        ({"SHOP_ZONE": "Zone B"}, "expected a lower-case word"),
        ({"SHOP_LISTEN": "7103"}, "expected host:port"),
        ({"SHOP_LISTEN": "127.0.0.1:99999"}, "expected host:port"),
        ({"SHOP_METRICS_LISTEN": "nine"}, "expected host:port"),
        ({"SHOP_MAX_CONCURRENT": "many"}, "expected a number above 0"),
        ({"SHOP_MAX_CONCURRENT": "0"}, "expected a number above 0"),
        ({"SHOP_DRAIN_S": "-1"}, "expected a number above 0"),
        ({"SHOP_DRAIN_S": "nan"}, "expected a number above 0"),
        ({"SHOP_TRUSTED_PEERS": "10.0.0.0/8,here"}, "SHOP_TRUSTED_PEERS="),
        ({"SHOP_TLS_CERT": "/cert"}, "go together"),
        ({"SHOP_PLANS_AFTER_S": "-0.1"}, "expected 0 or a number above"),
        ({"SHOP_PLANS_AFTER_S": "nan"}, "expected 0 or a number above"),
        ({"SHOP_PLANS_SAMPLE": "0.5"}, "expected 0 or a number above"),
        ({"SHOP_PLANS_SAMPEL": "10"}, "unknown setting SHOP_PLANS_SAMPEL"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(change, said):
    """A wrong setting is named in the message, also one that nobody knows."""
    with pytest.raises(SettingsError, match=said):
        Settings.from_env(GIVEN | change)


def test_a_process_refuses_another_services_settings():
    """`python -m services.cart` does not run with the catalog's settings."""
    with pytest.raises(SettingsError, match="this is cart"):
        Settings.of("cart", GIVEN)
