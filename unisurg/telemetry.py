"""No tool of the stack reports to anybody: their switches, set before they are imported."""

from __future__ import annotations

import os

# A value that the user has set stays.
SWITCHES = {
    "DO_NOT_TRACK": "true",  # MLflow and Prefect's client read it, and accept no other spelling
    "DVC_NO_ANALYTICS": "1",
    "GIT_PYTHON_REFRESH": "quiet",  # MLflow asks git for what unisurg.lineage already knows
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "NO_ALBUMENTATIONS_UPDATE": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def switch_off() -> None:
    """Set every switch in this process's environment, which its children inherit."""
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
