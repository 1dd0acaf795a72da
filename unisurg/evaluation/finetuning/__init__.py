"""The whole encoder trained with a head on one benchmark."""
