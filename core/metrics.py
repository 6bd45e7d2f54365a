"""What Prometheus may ask, by subject. An endpoint's label is its host and port, never its path."""

from __future__ import annotations

from functools import cache

from prometheus_client import Counter, Gauge, Histogram

# Chain
RPC_ERRORS = Counter(
    "bezant_rpc_errors",
    "Calls to a node that brought no usable answer.",
    ["network", "endpoint", "kind"],
)
RPC_SECONDS = Histogram(
    "bezant_rpc_seconds",
    "Duration of one HTTP request to a node (a JSON-RPC call or a batch of them).",
    ["network", "endpoint"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
)
ENDPOINT_SCORE = Gauge(
    "bezant_endpoint_score", "100 is an endpoint without fault.", ["network", "endpoint"]
)
CHAIN_DISAGREEMENTS = Counter(
    "bezant_chain_disagreements",
    "Two endpoints held different hashes at the same height, or showed different movements.",
    ["network", "endpoint"],
)
MOVEMENTS_DISPUTED = Counter(
    "bezant_movements_disputed",
    "Looks at a deposit that endpoints with its block do not show as it stands in the books; it"
    " waits for a second endpoint.",
    ["network"],
)
BLOOM_MISMATCHES = Counter(
    "bezant_bloom_mismatches",
    "Log answers that the header's bloom did not bear out: proved is a false positive of the"
    " bloom, missing a log that the answer had left out.",
    ["network", "endpoint", "outcome"],
)
CHAIN_FAILURES = Counter(
    "bezant_chain_failures",
    "Looks at a chain that brought nothing usable; the cursor did not move.",
    ["network", "kind"],
)
BLOCKS_APPLIED = Counter("bezant_blocks_applied", "Blocks taken into the books.", ["network"])
BATCH_SECONDS = Histogram(
    "bezant_batch_seconds",
    "Duration of the transaction that applies a batch of blocks.",
    ["network"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
FORKS = Counter("bezant_chain_forks", "Forks of blocks that had been applied.", ["network"])

# Outgoing transactions
TRANSACTIONS_PENDING = Gauge(
    "bezant_transactions_pending",
    "Transactions with a nonce that no applied block carries.",
    ["network", "wallet"],
)
TRANSACTION_BUMPS = Counter(
    "bezant_transaction_bumps",
    "Further variants of a nonce: bump (higher fees), cancel (a self-send in its place).",
    ["network", "kind"],
)
TRANSACTION_REFUSALS = Counter(
    "bezant_transaction_refusals",
    "Signed bytes that no node took, by what the refusal means.",
    ["network", "refusal"],
)
TRANSACTION_SECONDS = Histogram(
    "bezant_transaction_seconds",
    "From a transaction's signing to the block that carries it.",
    ["network"],
    buckets=(0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600),
)
SIGNER_REFUSALS = Counter(
    "bezant_signer_refusals", "Orders that were not signed, by the signer's code.", ["code"]
)

# Venues
VENUE_STREAM_LOSSES = Counter(
    "bezant_venue_stream_losses",
    "Ends of a venue's public stream; its books are read anew.",
    ["venue"],
)
QUOTES_REFUSED = Counter(
    "bezant_quotes_refused", "Quotes of the treasury that were not given, by code.", ["code"]
)

# Webhooks
WEBHOOK_DELIVERIES = Counter(
    "bezant_webhook_deliveries",
    "Attempts by what came of them: delivered, pending (tried again), failed, disabled.",
    ["outcome"],
)
WEBHOOK_QUEUE_DEPTH = Gauge(
    "bezant_webhook_queue_depth", "Deliveries that are not finished, retries included."
)
SEEN_TO_WEBHOOK_SECONDS = Histogram(
    "bezant_seen_to_webhook_seconds",
    "From an event's making to its delivery at the first attempt, wall time.",
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
)

# API
HTTP_REQUESTS = Counter("bezant_http_requests", "Requests answered.", ["method", "route", "status"])
HTTP_SECONDS = Histogram(
    "bezant_http_seconds",
    "From the first byte of a request read to the last of its answer written.",
    ["method", "route"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
INVOICES_CREATED = Counter("bezant_invoices_created", "Invoices created over HTTP.", ["currency"])
PRICE_AGE_SECONDS = Gauge(
    "bezant_price_age_seconds", "Age of the newest accepted price.", ["base", "quote"]
)
PRICE_REFUSALS = Counter(
    "bezant_price_refusals",
    "Readings of a feed that were refused: counted when a new round or a new reason comes.",
    ["pair", "reason"],
)
CHAIN_LAG_BLOCKS = Gauge(
    "bezant_chain_lag_blocks", "Blocks between a network's head and what is applied.", ["network"]
)
CHAIN_LAG_SECONDS = Gauge(
    "bezant_chain_lag_seconds",
    "Seconds since a network was last followed up to its head.",
    ["network"],
)


@cache
def _http(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    """The children of the labels, looked up once: methods, routes and statuses are few."""
    return (
        HTTP_REQUESTS.labels(method, route, str(status)),
        HTTP_SECONDS.labels(method, route),
    )


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def observe_request(method: str, route: str, status: int, seconds: float) -> None:
    """`route` is the template, never the path as asked."""
    count, duration = _http(method if method in _METHODS else "other", route, status)
    count.inc()
    duration.observe(seconds)
