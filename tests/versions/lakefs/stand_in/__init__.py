"""A lakeFS server in memory: the REST calls and the S3 reads that this project makes."""

from __future__ import annotations

from tests.versions.lakefs.stand_in.server import StandIn

__all__ = ["StandIn"]
