"""Kvasir is one of five polyp data sets, see `unisurg.benchmarks.polyps`."""

from unisurg.benchmarks.polyps import KVASIR, read_mask, read_picture

__all__ = ["KVASIR", "read_mask", "read_picture"]
