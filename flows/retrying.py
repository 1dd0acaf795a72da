"""A task that is tried again where the trouble passes: see `flows.troubles` for which does.

To be imported once `environment.prepare` has run, as everything of Prefect.
"""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.troubles import JITTER, RETRY_AFTER_S, is_passing

tried_again = task(
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=len(RETRY_AFTER_S),
    retry_delay_seconds=RETRY_AFTER_S,
    retry_jitter_factor=JITTER,
    retry_condition_fn=is_passing,
)
