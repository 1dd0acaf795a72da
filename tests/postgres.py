"""A real PostgreSQL on a free port of this machine, in its own folder, to be killed at will."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

PROGRAMS = Path("/usr/lib/postgresql")  # Debian keeps them off the PATH, by version
PATIENCE_S = 60.0


def missing() -> str | None:
    """What this machine lacks to run PostgreSQL; None where it lacks nothing."""
    if programs() is None:
        return "PostgreSQL's initdb is not installed"
    if _not_root() and not Path(os.devnull).stat().st_mode & stat.S_IWOTH:
        return f"tests run as root, PostgreSQL must not, and others may not write {os.devnull}"
    return None


def programs() -> Path | None:
    """The folder of initdb and postgres; None where PostgreSQL is not installed."""
    on_path = shutil.which("initdb")
    found = sorted(PROGRAMS.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found and on_path is None:
        return None
    return (found[-1] if found else Path(str(on_path)).resolve()).parent


class Postgres:
    """One server and its folder; `uri(name)` is an empty database of that name."""

    def __init__(self, folder: Path) -> None:
        self._bin = programs()
        self._data = folder / "data"
        self.port = free_port()
        self._server: subprocess.Popen[bytes] | None = None
        self._run("initdb", "-D", self._data, "-U", "unisurg", "-A", "trust", "--no-sync")

    def start(self) -> None:
        """Begin, and wait until it answers; after a kill it first recovers from its log."""
        command = [
            f"{self._bin}/postgres", "-D", str(self._data), "-p", str(self.port),
            "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off",
        ]  # fmt: skip
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._server = subprocess.Popen(command, **quiet, **_not_root())
        deadline = time.monotonic() + PATIENCE_S
        while not self._answers():
            assert self._server.poll() is None, "PostgreSQL has ended by itself"
            assert time.monotonic() < deadline, "PostgreSQL does not answer"
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL to the server; returns when those that it has started have seen it and ended."""
        assert self._server is not None
        its_own = psutil.Process(self._server.pid).children()
        self._server.kill()
        self._server.wait()
        psutil.wait_procs(its_own, timeout=PATIENCE_S)

    def uri(self, name: str) -> str:
        self._run("createdb", *self._where(), name)
        return f"postgresql://unisurg@127.0.0.1:{self.port}/{name}"

    def stop(self) -> None:
        """End it in good order, whoever is still connected."""
        if self._server is not None and self._server.poll() is None:
            self._server.send_signal(signal.SIGINT)
            self._server.wait()

    def _answers(self) -> bool:
        asked = [f"{self._bin}/pg_isready", *self._where()]
        return subprocess.run(asked, capture_output=True, check=False).returncode == 0

    def _where(self) -> list[str]:
        return ["-h", "127.0.0.1", "-p", str(self.port), "-U", "unisurg"]

    def _run(self, program: str, *arguments: object) -> None:
        command = [f"{self._bin}/{program}", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, **_not_root(), check=False)
        assert done.returncode == 0, f"{program}: {done.stderr}"


@contextmanager
def running() -> Iterator[Postgres]:
    """A fresh server, gone with its folder at the end."""
    folder = Path(tempfile.mkdtemp(prefix="unisurg-postgres-"))
    if as_whom := _not_root():
        shutil.chown(folder, as_whom["user"])
    try:
        server = Postgres(folder)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def _not_root() -> dict[str, Any]:
    """PostgreSQL refuses to run as root; then it runs as nobody."""
    return {"user": "nobody", "group": "nogroup", "cwd": "/"} if os.geteuid() == 0 else {}


def free_port() -> int:
    """One that nobody listens at now."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])
