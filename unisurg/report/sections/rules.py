"""The rules that what is kept obeys, and whether it does."""

from __future__ import annotations

from unisurg.report.blocks import Fold, Section, Table, Text, missing
from unisurg.report.inputs import VALIDATION, Json

TITLE = "Rules the corpus keeps"


def section(facts: Json | None) -> Section:
    """The section on what the stage `validate` has found."""
    if facts is None:
        return Section("validation", TITLE, [missing(VALIDATION, "validate")])
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
    said = (
        f"{len(rules)} rules were checked before pretraining; {broken or 'none'} broken. The page"
        " `validation/index.html` has them by table, with the rows that break them."
    )
    table = Table(["", "of", "rule", "found instead"], rows)
    return Section("validation", TITLE, [Text(said), Fold("The rules", [table])])
