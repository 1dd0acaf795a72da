"""Processes told apart among all of all times: a number alone is used again."""

from __future__ import annotations

import socket

import psutil


def identity_of(process: psutil.Process) -> str:
    """`HOST/PID/START`, the start in seconds since 1970."""
    return f"{socket.gethostname()}/{process.pid}/{process.create_time():.0f}"


def has_died(identity: str) -> bool:
    """Whether a process, by its identity, has ended; of another host that is never known."""
    host, pid, started = identity.rsplit("/", 2)
    if host != socket.gethostname():
        return False
    try:
        return f"{psutil.Process(int(pid)).create_time():.0f}" != started
    except psutil.Error:
        return True
