"""Pixels of benchmark cases -> frozen features, computed once."""
