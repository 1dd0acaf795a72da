"""The gate before pretraining: expectations on the curated corpus; a broken one stops the DAG."""

from __future__ import annotations

import json
from pathlib import Path

from unisurg.corpus.expectations import ValidationFailed, validate
from unisurg.settings import Settings
from unisurg.stages import identity_path
from unisurg.tracking import track_stage


def run(settings: Settings, corpus: Path, output: Path) -> None:
    with track_stage("validate", settings) as tracked:
        result = validate(corpus, settings.curate)
        output.mkdir(parents=True, exist_ok=True)
        page = output / "validation.json"
        page.write_text(json.dumps(result.as_dict(), indent=2) + "\n", encoding="utf-8")
        tracked.artifact(page)
        tracked.metrics(0, {"rules": len(result.rules), "broken": len(result.broken)})
        if not result.success:
            raise ValidationFailed(result)
        tracked.write_identity(identity_path("validate", output))
        print(f"validate: {len(result.rules)} rules hold on {corpus}")
