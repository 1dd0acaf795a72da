"""Heads on frozen features: trained, chosen on validation cases, tested once."""
