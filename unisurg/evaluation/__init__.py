"""Frozen features, probes, statistics and published results."""
