"""Everything on one page: tables, figures, and how they were made."""

from unisurg.report.page import build, build_curation

__all__ = ["build", "build_curation"]
