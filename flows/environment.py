"""Prefect's surroundings, set before it is imported: it reads them once."""

from __future__ import annotations

import os

from unisurg import lineage, telemetry

LEASES = "prefect.server.concurrency.lease_storage.filesystem"


def prepare() -> None:
    """Keep Prefect inside the repository, without telemetry; what the user has set stays.

    With PREFECT_API_URL the flow reports to that server. Without it a server of its own is started
    for the time of the run, and its database lies below `.scratch/prefect`.
    """
    telemetry.switch_off()
    home = lineage.repository_root() / ".scratch" / "prefect"
    if "PREFECT_HOME" not in os.environ:
        home.mkdir(parents=True, exist_ok=True)
        os.environ["PREFECT_HOME"] = str(home)
    os.environ.setdefault("PREFECT_SERVER_ALLOW_EPHEMERAL_MODE", "true")
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "90")
    os.environ.setdefault("PREFECT_CLI_PROMPT", "false")
    # A server that is killed must not forget who holds a slot: nobody could give it back.
    os.environ.setdefault("PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE", LEASES)
