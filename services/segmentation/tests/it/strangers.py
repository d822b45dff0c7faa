"""Sends calls with Segment's own client for Python, which knows nothing of this service but its address and a key."""

import sys
from datetime import datetime, timezone

from segment.analytics.client import Client

host, key, packing = sys.argv[1:]
failures = []
client = Client(
    key,
    host=host,
    gzip=packing == "gzip",
    max_retries=1,
    on_error=lambda error, calls: failures.append(error),
)
client.page(anonymous_id="visitor-1", name="Pricing", category="Site", message_id="m-1")
client.identify(
    "ana",
    {
        "email": "ana@example.com",
        "plan": "pro",
        "logins": 5,
        "vip": True,
        "createdAt": datetime(2015, 2, 23, 22, 28, 55, tzinfo=timezone.utc),
        "address": {"postalCode": "94103"},
        "tags": ["b", "a"],
    },
    anonymous_id="visitor-1",
    message_id="m-2",
)
client.track("ana", "Order Completed", {"revenue": 27.5, "orderId": 7}, message_id="m-3")
client.track("ana@example.com", "Signed Up", message_id="m-4")
client.screen("ana", name="Start", message_id="m-5")
client.shutdown()
for failure in failures:
    sys.exit(f"{getattr(failure, 'status', failure)}")
