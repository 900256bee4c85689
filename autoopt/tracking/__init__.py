"""Mirrors studies to MLflow, from the ledger's outbox, in a process of its own.

MLflow is slow to import, slow to write and slower to fail: a dead server blocks its client for minutes. None of that
may touch a search, so nothing of MLflow is imported here; only the deliverer's process does that.
"""

from autoopt.tracking.outbox import NoOutbox, TrackingOutbox
from autoopt.tracking.page import HOST, TrackingPage, make_database

__all__ = ["HOST", "NoOutbox", "TrackingOutbox", "TrackingPage", "make_database"]
