"""Every flow as a deployment: what starts it, with which parameters, where.

`flows.serve` runs them in one process; `prefect.yaml` declares the same for work pools and is
written by `python -m flows.deployments`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from unisurg import lineage
from unisurg.settings import Schedules, load

POOL, GPU_POOL = "unisurg", "gpu"
HOME = "UNISURG_HOME"
"""Variable of a worker's environment that names its checkout."""
PREFECT_YAML = "prefect.yaml"
HEADER = """\
# The deployments for work pools: `prefect deploy --all`. See docs/orchestration.md.
# Written by `make deployments` from flows/deployments.py and params.yaml: change those.

"""


@dataclass(frozen=True)
class Deployment:
    """A flow that Prefect can start.

    `cron` None: by hand only. Of one that is `alone` a run that would start while the last one goes
    is cancelled.
    """

    name: str
    entrypoint: str
    """`flows/FILE.py:FUNCTION`."""
    description: str
    cron: str | None = None
    timezone: str = "UTC"
    pool: str = POOL
    alone: bool = True

    @property
    def tags(self) -> list[str]:
        return ["unisurg", self.name]


def deployments(schedules: Schedules) -> list[Deployment]:
    """All of them; each flow's description stands with its function."""
    zone = schedules.timezone
    return [
        Deployment(
            "ingest",
            "flows/ingest.py:ingest",
            "new recordings in the drop folder become part of the data",
            schedules.ingest,
            zone,
        ),
        Deployment(
            "pipeline",
            "flows/pipeline.py:pipeline",
            "everything that is stale is brought up to date",
            schedules.pipeline,
            zone,
        ),
        Deployment(
            "retrain",
            "flows/retrain.py:retrain",
            "new data, the graph, and whether the new model becomes champion",
            schedules.retrain,
            zone,
        ),
        Deployment(
            "evaluate",
            "flows/evaluate.py:evaluate",
            "one encoder on chosen benchmarks",
            schedules.evaluate,
            zone,
        ),
        Deployment(
            "tune",
            "flows/tune.py:tune",
            "which masking and motion settings do best on a validation probe",
            schedules.tune,
            zone,
        ),
        Deployment(
            "stage",
            "flows/places.py:stage",
            "one stage of a commit, on whichever machine takes it",
            pool=GPU_POOL,
            alone=False,
        ),
    ]


def as_yaml(all_of_them: list[Deployment]) -> str:
    """prefect.yaml."""
    step = "prefect.deployments.steps.set_working_directory"
    content = {
        "name": "unisurg",
        "pull": [{step: {"directory": f"{{{{ ${HOME} }}}}"}}],
        "deployments": [_declared(one) for one in all_of_them],
    }
    return HEADER + yaml.safe_dump(content, sort_keys=False, width=100)


def _declared(one: Deployment) -> dict[str, Any]:
    schedules = [{"cron": one.cron, "timezone": one.timezone}] if one.cron else []
    alone = {"limit": 1, "collision_strategy": "CANCEL_NEW"} if one.alone else None
    return {
        "name": one.name,
        "entrypoint": one.entrypoint,
        "description": one.description,
        "tags": one.tags,
        "parameters": {},
        "schedules": schedules,
        "concurrency_limit": alone,
        "work_pool": {"name": one.pool},
    }


def main() -> int:
    """Write prefect.yaml anew."""
    root = lineage.repository_root()
    schedules = load(root / "params.yaml").orchestration.schedules
    Path(root / PREFECT_YAML).write_text(as_yaml(deployments(schedules)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
