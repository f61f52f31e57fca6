"""The page in a real browser, from a file, with the network off."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from lab.report import making, stored

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
    None,
)
OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(120),
    pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on the PATH"),
]


@pytest.fixture
def address(both, tmp_path):
    loaded = [stored.load(folder) for folder in both]
    _, paths = making.make(loaded, state=tmp_path, folder=tmp_path / "page")
    return Path(paths["html"]).as_uri()


@pytest.fixture
def pictures(tmp_path):
    folder = Path(os.environ.get("SEAWALL_SCREENSHOTS") or tmp_path / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def browser():
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=BROWSER, headless=True, args=list(OPTIONS)
        )
        yield started
        started.close()


def opened(browser, address, complaints, **options):
    context = browser.new_context(offline=True, **options)
    page = context.new_page()
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda asked: complaints.append(asked.url))
    page.goto(address)
    # The page itself is the one thing that was asked for.
    assert [address] == complaints
    complaints.clear()
    return page


def no_wider_than_the_screen(page):
    wide, screen = page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    return wide <= screen


def test_a_click_shows_what_stands_behind(browser, address, pictures):
    """Spans, evidence, breakers and colours, on a screen, without a complaint."""
    complaints = []
    page = opened(
        browser,
        address,
        complaints,
        viewport={"width": 1280, "height": 900},
        color_scheme="light",
    )
    page.screenshot(path=pictures / "light.png", full_page=True)

    rows = page.locator(".waterfall").first.locator("button.row")
    statement = rows.filter(has_text="SELECT products").first
    statement.click()
    shown = page.locator(".waterfall .more")
    assert "true" == statement.get_attribute("aria-expanded")
    assert "SELECT * FROM products WHERE id = $1" in shown.inner_text()
    assert "Foreign Scan on products" in shown.inner_text()
    statement.click()
    assert 0 == shown.count()

    evidence = page.locator("button.id").first
    evidence.focus()
    page.keyboard.press("Enter")
    assert page.locator(".evidence button.row").count() > 0
    assert "true" == evidence.get_attribute("aria-expanded")

    stretch = page.locator(".plot.wide .state.open").first
    stretch.click(force=True)
    assert "slow_rate" in page.locator("figure.lanes .readout").inner_text()

    plot = page.locator("figure.timed .plot.wide svg").first
    plot.hover()
    readout = page.locator("figure.timed .readout").first.inner_text()
    assert "sick p50" in readout
    assert "cured p50" in readout

    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.locator("#theme").click()
    assert light != page.evaluate(paper)
    assert "true" == page.locator("#theme").get_attribute("aria-pressed")
    page.screenshot(path=pictures / "dark.png", full_page=True)
    assert no_wider_than_the_screen(page)
    assert [] == complaints


def test_a_dark_system_has_a_dark_page(browser, address):
    """Before anybody toggles, the system decides."""
    complaints = []
    page = opened(browser, address, complaints, color_scheme="dark")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("#theme").click()

    assert dark != page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert [] == complaints


def test_it_can_be_read_on_a_phone(browser, address, pictures):
    """At 360 pixels nothing is wider than the screen, opened or not."""
    complaints = []
    page = opened(browser, address, complaints, viewport={"width": 360, "height": 740})
    assert no_wider_than_the_screen(page)

    page.locator(".waterfall button.row").nth(3).click()
    page.locator("button.id").first.click()
    for summary in page.locator("summary").all():
        summary.click()
    page.screenshot(path=pictures / "phone.png", full_page=True)
    assert no_wider_than_the_screen(page)
    assert page.locator(".plot.narrow").first.is_visible()
    assert not page.locator(".plot.wide").first.is_visible()
    assert [] == complaints


def test_it_prints(browser, address, pictures):
    """A PDF of more than one page comes out, light even when the screen is dark."""
    complaints = []
    page = opened(browser, address, complaints, color_scheme="dark")
    page.pdf(path=pictures / "print.pdf", format="A4", print_background=True)
    page.emulate_media(media="print")

    printed = (pictures / "print.pdf").read_bytes()
    assert printed.startswith(b"%PDF")
    assert printed.count(b"/Type /Page\n") > 1
    assert "rgb(255, 255, 255)" == page.evaluate(
        "getComputedStyle(document.body).backgroundColor"
    )
    assert not page.locator("#theme").is_visible()
    assert [] == complaints
