"""Every Python snippet of the resilience documentation runs as it is written."""

import ast
import asyncio
import inspect
import re
from pathlib import Path

import grpc
import pytest

import resilience
from resilience.testing import Script, aio_scripted_server

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "resilience" / "README.md",
    *sorted((ROOT / "docs" / "resilience").glob("*.md")),
]
FENCED = re.MULTILINE | re.DOTALL
SNIPPETS = {
    page: found
    for page in PAGES
    if (found := re.findall(r"^```python\n(.*?)^```", page.read_text(), FENCED))
}


async def _run(page):
    scripts = {"/shop.v1.Catalog/GetProduct": Script([b"a lamp"])}
    async with aio_scripted_server(scripts) as one, aio_scripted_server(scripts) as two:
        channel = grpc.aio.insecure_channel(one.address)
        names = {
            "__name__": "snippets",
            "address": one.address,
            "other_address": two.address,
            "get_product": channel.unary_unary("/shop.v1.Catalog/GetProduct"),
            "grpc": grpc,
            "resilience": resilience,
        }
        for number, text in enumerate(SNIPPETS[page], start=1):
            code = compile(
                text,
                f"{page.name}, snippet {number}",
                "exec",
                flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
            )
            found = eval(code, names)
            if inspect.isawaitable(found):
                await found
        # Whatever a snippet opened ends here, as a script's end would.
        for value in list(names.values()):
            if isinstance(value, grpc.aio.Channel):
                await value.close()
            elif isinstance(value, grpc.Channel):
                value.close()
        await channel.close()


@pytest.mark.parametrize("page", SNIPPETS, ids=lambda page: page.name)
def test_snippets_run_in_order(page, tmp_path, monkeypatch, capsys):
    """A page's snippets are one program, from the first to the last."""
    monkeypatch.chdir(tmp_path)
    asyncio.run(_run(page))


def test_links_between_the_pages_lead_somewhere():
    """No page sends its reader to a file that is not there."""
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
