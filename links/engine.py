"""All links of one process, on one event loop."""

from __future__ import annotations

from links.errors import LinkExistsError, UnknownLinkError
from links.link import Link
from links.spec import LinkSpec


class Engine:
    """Carries links; used from the thread of the running event loop.

    Equal seeds and equal connections draw equal faults.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self._seed = seed
        self._links: dict[str, Link] = {}

    def __repr__(self) -> str:
        return f"<Engine {len(self._links)} links>"

    async def add(self, spec: LinkSpec, *, enabled: bool = True) -> Link:
        """Add a link and, when enabled, listen.

        Raises LinkExistsError, BadAddressError, and OSError when it cannot listen.
        """
        if spec.name in self._links:
            raise LinkExistsError(f"there is a link {spec.name!r}")
        link = self._links[spec.name] = Link(spec, seed=self._seed)
        if enabled:
            try:
                await link.enable()
            except BaseException:
                del self._links[spec.name]
                raise
        return link

    async def remove(self, name: str) -> None:
        """Remove a link with all its connections; raises UnknownLinkError."""
        link = self.get(name)
        del self._links[name]
        await link.close()

    def get(self, name: str) -> Link:
        """Give the link `name`; raises UnknownLinkError."""
        try:
            return self._links[name]
        except KeyError:
            raise UnknownLinkError(f"there is no link {name!r}") from None

    def links(self) -> tuple[Link, ...]:
        """Give all links in the order in which they were added."""
        return tuple(self._links.values())

    async def close(self) -> None:
        """Remove every link."""
        for name in list(self._links):
            await self.remove(name)
