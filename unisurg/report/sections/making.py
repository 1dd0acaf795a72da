"""Commits, runs, hashes and parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import yaml

from unisurg.report.blocks import Block, Code, Fold, Section, Table, Text, missing
from unisurg.report.inputs import IDENTITIES, Inputs, Json

AGAIN = "To make it again: check out the commit, then `make repro`. `make ui` opens the runs."


def section(inputs: Inputs) -> Section:
    blocks: list[Block] = [missing(f"{IDENTITIES}/*.run.json", "-f")]
    if inputs.identities:
        commits = {facts["commit"] for facts in inputs.identities.values()}
        dirty = sorted(stage for stage, f in inputs.identities.items() if f["dirty"])
        hashes = Fold("Hashes of the inputs", [_hash_table(inputs.identities)])
        blocks = [Text(_commit_sentence(commits, dirty)), _run_table(inputs.identities), hashes]
    settings = yaml.safe_dump(
        inputs.settings.model_dump(mode="json"), sort_keys=False, default_flow_style=None, width=96
    )
    blocks.append(Fold("All parameters (params.yaml)", [Code(settings)]))
    blocks.append(Text(AGAIN))
    return Section("making", "How it was made", blocks)


def _commit_sentence(commits: set[str | None], dirty: Sequence[str]) -> str:
    known = sorted(commit[:10] for commit in commits if commit)
    where = f"commit {' and '.join(known)}" if known else "a folder without a commit"
    state = (
        f"with uncommitted changes in {', '.join(dirty)}: it cannot be made again from the commit"
        " alone"
        if dirty
        else "without uncommitted changes"
    )
    return f"Made from {where}, {state}."


def _run_table(identities: Mapping[str, Json]) -> Table:
    rows = [
        [stage, facts["run_id"] or "not tracked", (facts["commit"] or "–")[:10],
         "changed" if facts["dirty"] else "clean" if facts["dirty"] is False else "–"]
        for stage, facts in identities.items()
    ]  # fmt: skip
    return Table(["stage", "MLflow run", "commit", "code"], rows)


def _hash_table(identities: Mapping[str, Json]) -> Table:
    rows = [
        [stage, path, md5]
        for stage, facts in identities.items()
        for path, md5 in facts.get("inputs", {}).items()
    ]
    return Table(["stage", "input", "md5"], rows)
