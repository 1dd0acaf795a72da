"""Everything on one page: tables, figures, and how they were made."""

from unisurg.report.page import build

__all__ = ["build"]
