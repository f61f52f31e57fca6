"""Who a call is from, what its trace says of that, and whether it is served here."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from opentelemetry import trace

from cockroach.ids import PublicId
from observability import names
from protos.shop.v1.storefront_pb2_grpc import StorefrontStub
from services.runtime.errors import wrong_region
from services.runtime.peers import Peers
from services.runtime.policy import PolicySet
from services.storefront.directory import Directory
from services.storefront.domain import (
    Decision,
    Network,
    client_address,
    peer_address,
)

CLIENT_IP = "x-client-ip"
FORWARDED = "x-seawall-forwarded"

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One journey's caller. `elsewhere` is the region that has to serve it, if any."""

    decision: Decision
    region: str
    routed_by: str
    client_ip: str
    elsewhere: str = ""

    def passed_on(self) -> tuple[tuple[str, str], ...]:
        """Return the metadata of the one call that forwards the journey."""
        return ((CLIENT_IP, self.client_ip), (FORWARDED, "1"))


class Gate:
    """Judges each call as it comes in; forwards what is at home elsewhere."""

    def __init__(
        self,
        directory: Directory,
        *,
        region: str,
        trusted: Sequence[Network],
        policies: Callable[[], PolicySet],
        peers: Peers,
        logger: logging.Logger,
    ) -> None:
        self._directory = directory
        self._region = region
        self._trusted = trusted
        self._policies = policies
        self._peers = peers
        self._logger = logger

    def visit(
        self,
        journey: str,
        context: Context,
        *,
        customer: PublicId | None = None,
        home: str = "",
    ) -> Visit:
        """Judge a call; `home` binds it to a region, an empty one to none.

        Raises WRONG_REGION when it was forwarded once and is still not at home.
        """
        metadata = {
            str(key): str(value)
            for key, value in context.invocation_metadata() or ()
            if key in {CLIENT_IP, FORWARDED}
        }
        address, ours = client_address(
            peer_address(context.peer()), metadata.get(CLIENT_IP, ""), self._trusted
        )
        decision = self._directory.route(address)
        known = customer.region if customer else home
        visit = Visit(
            decision=decision,
            region=known or decision.region,
            routed_by="home" if known else decision.rule,
            client_ip=str(address or ""),
            elsewhere=self._elsewhere(home),
        )
        self._tell(journey, visit, customer, known)
        if visit.elsewhere and ours and FORWARDED in metadata:
            raise wrong_region(home, self._region)
        return visit

    def forward(self, visit: Visit, method: str, request: Any) -> Any:
        """Make the same call at the storefront of the region that has to serve it."""
        stub = self._peers.stub(StorefrontStub, "storefront", visit.elsewhere)
        return getattr(stub, method)(request, metadata=visit.passed_on())

    async def forward_stream(
        self, visit: Visit, method: str, request: Any
    ) -> AsyncIterator[Any]:
        """As `forward`, for a call that is answered by a stream."""
        async for response in self.forward(visit, method, request):
            yield response

    def _elsewhere(self, home: str) -> str:
        stays = not home or home == self._region or self._policies().any_region
        return "" if stays else home

    def _tell(
        self, journey: str, visit: Visit, customer: PublicId | None, home: str
    ) -> None:
        said = {
            names.JOURNEY: journey,
            names.CLIENT_IP_BLOCK: visit.decision.block,
            names.IP_RULE: visit.decision.rule,
            names.ROUTED_BY: visit.routed_by,
            names.CUSTOMER_SEGMENT: self._directory.segment(customer),
        }
        if home:
            said[names.HOME_REGION] = home
        trace.get_current_span().set_attributes(said)
        self._logger.info(
            "%s served in %s", journey, visit.elsewhere or self._region, extra=said
        )
