"""What came in, what was kept, why the rest was not; and the rules that what is kept obeys."""

from __future__ import annotations

import pandas as pd

from unisurg.report.blocks import Block, Fold, Picture, Section, Table, Text, missing
from unisurg.report.contact import contact_figure, frames_of
from unisurg.report.drawing import as_photo
from unisurg.report.inputs import CORPUS, MANIFEST, VALIDATION, Inputs


def corpus(inputs: Inputs) -> Section:
    title = "The corpus it was trained on"
    manifest, quarantine = inputs.manifest, inputs.quarantine
    if manifest is None or quarantine is None:
        return Section("corpus", title, [missing(MANIFEST, "curate")])
    minutes = manifest["duration_s"].sum() / 60
    blocks: list[Block] = [
        Text(
            f"{len(manifest) + len(quarantine)} recordings came in. {len(manifest)} were kept and"
            f" normalised to {inputs.settings.curate.fps:g} fps:"
            f" {minutes:.0f} minutes, {manifest['n_frames'].sum():,} frames."
            f" {len(quarantine)} were put in quarantine, each with its reason."
        ),
        _specialty_table(manifest),
    ]
    if len(quarantine):
        blocks.append(_quarantine_table(quarantine))
    blocks.append(_contact_sheet(inputs, manifest))
    return Section("corpus", title, blocks)


def _contact_sheet(inputs: Inputs, manifest: pd.DataFrame) -> Block:
    frames = frames_of(inputs.root / CORPUS, manifest)
    if not frames:
        return Text("The clips themselves are not on this machine.", "missing")
    return Picture(
        as_photo(contact_figure(frames)),
        f"One frame from each of {len(frames)} clips of the corpus, by specialty.",
        "The middle frames of the first clips of every specialty.",
    )


def _specialty_table(manifest: pd.DataFrame) -> Table:
    groups = list(manifest.groupby("specialty", sort=True))
    rows = [
        [
            str(name).replace("_", " "),
            str(len(group)),
            f"{group['duration_s'].sum() / 60:.1f}",
            f"{group['n_frames'].sum():,}",
            ", ".join(sorted(set(group["source"]))),
        ]
        for name, group in groups
    ]
    head = ["specialty", "clips", "minutes", "frames", "sources"]
    return Table(head, rows, "Kept, by specialty.", frozenset({1, 2, 3}))


def _quarantine_table(quarantine: pd.DataFrame) -> Table:
    rows = [
        [str(reason).replace("_", " "), str(len(group)), ", ".join(group["raw"].astype(str)[:3])
         + (" …" if len(group) > 3 else "")]
        for reason, group in quarantine.groupby("reason", sort=True)
    ]  # fmt: skip
    return Table(["reason", "files", "which"], rows, "In quarantine, by reason.", frozenset({1}))


def validation(inputs: Inputs) -> Section:
    title = "Rules the corpus keeps"
    facts = inputs.validation
    if facts is None:
        return Section("validation", title, [missing(VALIDATION, "validate")])
    rules = facts["rules"]
    rows = [
        [
            "✓ holds" if rule["success"] else "✗ broken",
            f"{rule['table']} {rule['column']}".strip(),
            rule["rule"],
            rule["observed"],
        ]
        for rule in sorted(rules, key=lambda rule: rule["success"])
    ]
    broken = sum(not rule["success"] for rule in rules)
    said = f"{len(rules)} rules were checked before pretraining; {broken or 'none'} broken."
    table = Table(["", "of", "rule", "found instead"], rows)
    return Section("validation", title, [Text(said), Fold("The rules", [table])])
