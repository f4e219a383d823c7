"""The device and the one server that the runs of a group hold: most groups are a single run.

Scenarios of one agent that are run by one command may share a launch: where their frozen submissions are the same
bytes, the server that was measured for one is measured for the next. A start of minutes is then paid once. Each record
says after which scenarios it was measured.
"""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from inferencebench.paths import WEIGHTS, cache_dir
from inferencebench.run.bench import Bench
from inferencebench.run.events import EventLog
from inferencebench.run.machine import lease
from inferencebench.run.relaunch import Relaunched, Stopped, relaunched
from inferencebench.sandbox.contract import Sandbox


class Device:
    """The lease on the machine's devices; held from the first use on."""

    def __init__(self, bench: Bench, *, shared: bool) -> None:
        self._bench, self._shared = bench, shared
        self._stack = ExitStack()
        self._held = False
        self._told: list[EventLog] = []

    def hold(self, events: EventLog) -> None:
        """Wait until no other run of this machine works on the device, unless this group shares it; `events` learns
        from when on its run has it, and until when."""
        if self._shared:
            return
        self._take()
        if events not in self._told:
            self._told.append(events)
            events.append("device_held", devices=self._bench.leases)

    def _take(self) -> None:
        if self._held:
            return

        def waiting() -> None:
            self._bench.reporter.note("waiting for another run on this machine")

        for name in self._bench.leases:
            path = cache_dir() / "leases" / f"{name}.lock"
            self._stack.enter_context(lease(path, wait=True, on_wait=waiting))
        self._held = True

    def release(self) -> None:
        """Give the device back."""
        for events in self._told:
            events.append("device_released")
        self._told.clear()
        self._held = False
        self._stack.close()


class LiveServer:
    """The running server of a group, and who used it."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._stack = ExitStack()
        self._running: Relaunched | None = None
        self._sha256 = ""
        self._users: dict[str, EventLog] = {}
        self._starting: list[EventLog] = []

    @property
    def scenarios(self) -> tuple[str, ...]:
        """Those measured on the running server, in order."""
        return tuple(self._users)

    def get(
        self,
        submission: Path,
        sha256: str,
        logs: Path,
        user: tuple[str, EventLog],
        sandbox: Sandbox,
        home: Path | None,
        before: Callable[[], None],
        *,
        fresh: bool,
    ) -> Relaunched:
        """The living server of the submission with this hash, or a new one where there is none, or `fresh` asks for
        one; `before` is called before a launch, and `user` is the scenario with the log that learns of its end.

        Raises ServerFailed when it does not become ready."""
        if self._running is None or fresh or self._sha256 != sha256 or not self._running.server.alive():
            self.stop()
            before()
            self._users, self._starting = {}, [user[1]]
            launched = relaunched(
                self._bench, sandbox, submission, logs, on_stop=self._stopped, expected_sha256=sha256, home=home
            )
            self._running, self._sha256 = self._stack.enter_context(launched), sha256
        name, events = user
        if name not in self._users:
            self._users[name] = events
            events.append("server_ready", seconds=self._running.ready_s)
        return self._running

    def stop(self) -> None:
        """End the running server, if there is one."""
        self._running = None
        self._stack.close()

    def _stopped(self, seen: Stopped) -> None:
        report = seen.report
        weights = self._bench.checkpoint.path.rglob(f"*{WEIGHTS}")
        fields = {
            "killed": report.killed,
            "survivors": list(report.survivors),
            "names": report.names,
            "unrouted": seen.unrouted,
            "opened": None if seen.opened is None else [list(file) for file in seen.opened],
            "weights_bytes": sum(file.stat().st_size for file in weights),
        }
        for events in self._users.values() or self._starting:
            events.append("server_stopped", **fields)
