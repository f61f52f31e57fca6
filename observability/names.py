"""Every span, attribute, event and metric name in one place, without behaviour.

Names of OpenTelemetry's semantic conventions are kept as they are,
names of our own begin with `seawall.` (attributes) or `seawall_` (metrics).
"""

from types import MappingProxyType
from typing import Final

# Resource attributes.
SERVICE_NAME: Final = "service.name"
SERVICE_INSTANCE: Final = "service.instance.id"
CLOUD_REGION: Final = "cloud.region"
CLOUD_ZONE: Final = "cloud.availability_zone"
PROFILE: Final = "seawall.profile"

# RPC: the present names, and the earlier ones that instrumentation still writes.
RPC_SYSTEM_NAME: Final = "rpc.system.name"
RPC_METHOD: Final = "rpc.method"  # "shop.v1.Orders/PlaceOrder"
RPC_STATUS: Final = "rpc.response.status_code"  # "UNAVAILABLE"
RPC_STATUS_NEXT: Final = "rpc.status_code"
OLD_RPC_SYSTEM: Final = "rpc.system"
OLD_RPC_SERVICE: Final = "rpc.service"
OLD_RPC_METHOD: Final = "rpc.method"  # without the service
OLD_RPC_STATUS: Final = "rpc.grpc.status_code"  # the number
ERROR_TYPE: Final = "error.type"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
PEER_ADDRESS: Final = "network.peer.address"
PREVIOUS_ATTEMPTS: Final = "previous-rpc-attempts"
ATTEMPT_TARGET: Final = "seawall.target"  # "catalog@eu"
CANCELLED_BY: Final = "seawall.cancelled_by"  # caller | peer | deadline
DEADLINE_REMAINING_MS: Final = "seawall.deadline.remaining_ms"
RETRY_AFTER_MS: Final = "seawall.retry_after_ms"  # what a refusal tells its caller
REFUSAL: Final = "seawall.refusal"  # breaker_open | bulkhead | deadline | budget
ORIGIN: Final = "seawall.origin"  # the hop that really failed
PAYLOAD_BYTES: Final = "seawall.payload.bytes"

# Metadata keys on the wire.
REFUSAL_TRAILER: Final = "x-seawall-refusal"
ORIGIN_TRAILER: Final = "x-seawall-origin"

# Database.
DB_SYSTEM: Final = "db.system.name"
DB_NAMESPACE: Final = "db.namespace"
DB_OPERATION: Final = "db.operation.name"
DB_COLLECTION: Final = "db.collection.name"
DB_QUERY_SUMMARY: Final = "db.query.summary"  # "INSERT orders", also the span's name
DB_QUERY_TEXT: Final = "db.query.text"
DB_BATCH_SIZE: Final = "db.operation.batch.size"
DB_STATUS: Final = "db.response.status_code"  # SQLSTATE
DB_KEY: Final = "seawall.db.key"  # identity of the load, never its values
DB_PROBE: Final = "seawall.db.probe"
DB_PLAN: Final = "seawall.db.plan.text"  # on the event of a slow statement
PLAN_ANALYZED: Final = "seawall.db.plan.analyzed"  # it was run once more, to measure
PLAN_AGE_MS: Final = "seawall.db.plan.age_ms"  # 0: made for this very statement
PLAN_REGIONS: Final = "seawall.db.plan.regions"
PLAN_FULL_SCANS: Final = "seawall.db.plan.full_scans"  # tables
PLAN_ROWS: Final = "seawall.db.plan.rows"
PLAN_ESTIMATED_ROWS: Final = "seawall.db.plan.estimated_rows"
PLAN_REMOTE_STATEMENTS: Final = "seawall.db.plan.remote_statements"
PLAN_KV_CALLS: Final = "seawall.db.plan.kv_calls"
PLAN_NETWORK_BYTES: Final = "seawall.db.plan.network_bytes"
PLAN_NETWORK_MESSAGES: Final = "seawall.db.plan.network_messages"
PLAN_PLANNING_MS: Final = "seawall.db.plan.planning_ms"
PLAN_EXECUTION_MS: Final = "seawall.db.plan.execution_ms"
DB_ATTEMPT: Final = "seawall.db.attempt"  # of a transaction, from 0
STALE_AT_MOST_MS: Final = "seawall.db.stale.at_most_ms"  # what the caller allows
STALE_SERVED: Final = "seawall.db.stale.served"  # follower | replica | home
STALE_REASON: Final = "seawall.db.stale.reason"  # near | home_away | at_home | ...
STALENESS_MS: Final = "seawall.db.staleness_ms"  # how old the answer can be at most
POOL_WAIT_MS: Final = "seawall.db.pool.wait_ms"
GATEWAY_NAME: Final = "seawall.gateway.name"
GATEWAY_REGION: Final = "seawall.gateway.region"
CLIENT_REGION: Final = "seawall.client.region"
HOME_REGION: Final = "seawall.home_region"

# Balancer decisions and routing.
BALANCER_POLICY: Final = "seawall.balancer.policy"
BALANCER_CANDIDATES: Final = "seawall.balancer.candidates"
BALANCER_REASON: Final = "seawall.balancer.reason"
BALANCER_SCORES: Final = "seawall.balancer.scores"  # "eu-a=0.002,eu-b=0.4"
CLIENT_IP_BLOCK: Final = "seawall.client.ip_block"
IP_RULE: Final = "seawall.ip.rule"
ROUTED_BY: Final = "seawall.routed_by"

# Business.
JOURNEY: Final = "seawall.journey"
CUSTOMER_SEGMENT: Final = "seawall.customer.segment"
ORDER_ID: Final = "seawall.order.id"
DEGRADED: Final = "seawall.degraded"
FALLBACK: Final = "seawall.fallback"
FALLBACK_REASON: Final = "seawall.fallback.reason"
CACHE_SOURCE: Final = "seawall.cache.source"  # fresh | hit | stale | joined
CACHE_AGE_MS: Final = "seawall.cache.age_ms"

# Drills: what a disaster costs.
DRILL_NAME: Final = "seawall.drill.name"
DRILL_FAULT: Final = "seawall.drill.fault"
DRILL_ROWS: Final = "seawall.drill.rows"
DRILL_RPO_S: Final = "seawall.drill.rpo_s"
DRILL_RTO_S: Final = "seawall.drill.rto_s"
DRILL_LOST_ROWS: Final = "seawall.drill.lost_rows"

# Spans.
SPAN_DRILL: Final = "drill"  # "drill hot-standby", in it "drill detection" and so on
SPAN_ATTEMPT: Final = "attempt"
SPAN_POOL_ACQUIRE: Final = "pool.acquire"
SPAN_CONNECT: Final = "connect"  # opening a connection, which is no statement
SPAN_JOURNEY: Final = "journey"  # "journey checkout"
SPAN_BEGIN: Final = "BEGIN"
SPAN_COMMIT: Final = "COMMIT"
SPAN_ROLLBACK: Final = "ROLLBACK"
# Not statements of the application: they carry no rows of their own.
TRANSACTION_CONTROL: Final = frozenset({SPAN_BEGIN, SPAN_COMMIT, SPAN_ROLLBACK})

# Events on spans.
EVENT_BREAKER_CHANGED: Final = "seawall.breaker.changed"
EVENT_BREAKER_THRESHOLD: Final = "seawall.breaker.threshold_exceeded"
EVENT_RETRY_SCHEDULED: Final = "seawall.retry.scheduled"
EVENT_RETRY_REFUSED: Final = "seawall.retry.refused"
EVENT_CALL_REFUSED: Final = "seawall.call.refused"
EVENT_CALL_COALESCED: Final = "seawall.call.coalesced"
EVENT_FALLBACK_SERVED: Final = "seawall.fallback.served"
EVENT_DEADLINE_REFUSED: Final = "seawall.deadline.refused"
EVENT_HEDGE_SENT: Final = "seawall.hedge.sent"
EVENT_HEDGE_REFUSED: Final = "seawall.hedge.refused"
EVENT_LIMIT_CHANGED: Final = "seawall.limit.changed"
EVENT_BACKEND_PICKED: Final = "seawall.backend.picked"
EVENT_BACKEND_EJECTED: Final = "seawall.backend.ejected"
EVENT_BACKEND_RETURNED: Final = "seawall.backend.returned"
EVENT_FAULT_INJECTED: Final = "seawall.fault.injected"
EVENT_GATEWAY_EJECTED: Final = "seawall.gateway.ejected"
EVENT_GATEWAY_RETURNED: Final = "seawall.gateway.returned"
EVENT_SLOW_PLAN: Final = "seawall.db.plan"
# Class names of what policies report, and the event each becomes.
EVENTS: Final = MappingProxyType(
    {
        "BreakerChanged": EVENT_BREAKER_CHANGED,
        "BreakerThresholdExceeded": EVENT_BREAKER_THRESHOLD,
        "RetryScheduled": EVENT_RETRY_SCHEDULED,
        "RetryRefused": EVENT_RETRY_REFUSED,
        "CallRefused": EVENT_CALL_REFUSED,
        "CallCoalesced": EVENT_CALL_COALESCED,
        "FallbackServed": EVENT_FALLBACK_SERVED,
        "DeadlineRefused": EVENT_DEADLINE_REFUSED,
        "HedgeSent": EVENT_HEDGE_SENT,
        "HedgeRefused": EVENT_HEDGE_REFUSED,
        "LimitChanged": EVENT_LIMIT_CHANGED,
        "BackendPicked": EVENT_BACKEND_PICKED,
        "BackendEjected": EVENT_BACKEND_EJECTED,
        "BackendReturned": EVENT_BACKEND_RETURNED,
        "FaultInjected": EVENT_FAULT_INJECTED,
        "GatewayEjected": EVENT_GATEWAY_EJECTED,
        "GatewayReturned": EVENT_GATEWAY_RETURNED,
    }
)
# Attributes of such an event are the fields of the class: name, old, new, reason ...

# Metrics.
METRIC_SPANS_DROPPED: Final = "seawall_spans_dropped"  # _total, by stage
METRIC_SPANS_ENDED: Final = "seawall_spans_ended"
METRIC_SPANS_EXPORTED: Final = "seawall_spans_exported"
METRIC_SPANS_PENDING: Final = "seawall_spans_pending"
METRIC_REQUESTS: Final = "seawall_requests"
METRIC_REQUEST_SECONDS: Final = "seawall_request_duration_seconds"
METRIC_IN_FLIGHT: Final = "seawall_requests_in_flight"
METRIC_EVENTS: Final = "seawall_events"

# Stages at which a span can be lost.
STAGE_QUEUE: Final = "queue"  # the process made spans faster than it sent them
STAGE_EXPORT: Final = "export"  # the collector did not take them
STAGE_SHUTDOWN: Final = "shutdown"  # still unsent when the process had to leave
STAGE_STORE: Final = "store"  # the collector's bound was reached
