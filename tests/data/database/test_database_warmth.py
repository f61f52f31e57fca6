"""Connections that are there before anybody asks."""

from collections import Counter

from observability import names


async def test_spares_are_kept_at_the_nearest_region(database, spans, until) -> None:
    """Beside the own gateways' connections one to each of the nearest region's."""
    one = database("us")
    one.keep_spares()
    await one.start()
    await until(lambda: len(spans.get_finished_spans()) == 6)

    opened = Counter(
        (span.attributes or {})[names.GATEWAY_NAME]
        for span in spans.get_finished_spans()
    )
    assert opened == {"us-a": 2, "us-b": 2, "eu-a": 1, "eu-b": 1}
