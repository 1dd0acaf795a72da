"""One file per family of tasks: its heads, losses and metrics."""
