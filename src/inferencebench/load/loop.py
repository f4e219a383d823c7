"""The hot loop: sends requests when they are due and records bytes and times, nothing else.

HTTP beyond the end of a response, SSE, JSON, tokens and statistics are worked out after the run, from the recording.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from inferencebench.load.clock import STEP_NS, TIMESPEC, realtime_minus_monotonic_ns
from inferencebench.load.connect import Opened, reason
from inferencebench.load.glance import Glance
from inferencebench.load.http import GarbageError
from inferencebench.load.model import Exchange, LoadPlan, PlannedRequest, Progress, Recording, Target
from inferencebench.load.pace import Nap, wait
from inferencebench.load.pool import POLL_OUT, Pool
from inferencebench.load.slot import WOULD_BLOCK, Slot
from inferencebench.load.wire import request_head

READ_BYTES = 1 << 18
_LEAD_NS = 2_000_000
"""From the end of the preparations to the profile's zero."""
_CHECK_NS = 20_000_000
"""Between two looks at deadlines and lost connections."""
_AHEAD_NS = 500_000_000
"""A lost connection is replaced this long before the next request is due, so that none waits for a connect."""
_PROGRESS_NS = 200_000_000
_CLOCK_NS = 1_000_000_000
_FAR = 1 << 62
_CONNECT_FAILURES = 3
"""After this many failed connects in a row, with no connection left, the remaining requests fail at once."""
_CONTROL_BYTES = 32
"""Room for the control message of a kernel stamp, bytes."""


class Loop:
    """One run of one plan. `open`, then `serve`, then `recording`; `close` in every case."""

    def __init__(
        self,
        target: Target,
        plan: LoadPlan,
        on_progress: Callable[[Progress], None] | None,
        stop: threading.Event | None,
    ) -> None:
        self._target, self._plan, self._on_progress, self._stop = target, plan, on_progress, stop
        size = plan.profile.concurrency
        if not plan.repeat:
            size = min(size, len(plan.requests))
        self._pool = Pool(target.connect, size, portable=plan.recorder == "portable")
        self._waiting = deque(plan.requests)
        self._round = 0
        self._exchanges: list[Exchange] = []
        self._failed, self._busy, self._reads = 0, 0, 0
        self._timeout_ns = round(plan.request_timeout_s * 1e9)
        self._closed_loop = plan.profile.arrival == "closed"
        self._start_ns, self._stop_ns, self._cpu_s = 0, _FAR, 0.0
        self._stamped = False
        self._offset_ns, self._offset_at, self._steps = 0, 0, 0
        self._check_at, self._progress_at = 0, 0
        self._nap = Nap()
        self._glance = Glance()
        self._buffer = bytearray(READ_BYTES)
        self._view = memoryview(self._buffer)

    # --- before and after -------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Open every connection of the cap. A server that refuses some serves with the rest."""
        for slot in self._pool.slots:
            self._opened(self._pool.open(slot))
            if self._pool.failures >= _CONNECT_FAILURES:
                return

    def close(self) -> None:
        """Close every socket."""
        self._pool.close()

    def recording(self) -> Recording:
        """What was recorded."""
        return Recording(
            client=f"{'epoll' if self._pool.epoll else 'poll'}+{'kernel' if self._stamped else 'user'}-stamps",
            profile=self._plan.profile,
            start_ns=self._start_ns,
            exchanges=tuple(self._exchanges),
            connects_s=tuple(self._pool.connects_s),
            cpu_s=self._cpu_s,
            clock_steps=self._steps,
        )

    # --- the loop ---------------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Send everything, read everything, until each request has ended or was given up."""
        clock, poll, slots = time.monotonic_ns, self._pool.poll, self._pool.by_fd
        self._stamped = self._pool.epoll and not self._pool.encrypted()
        receive = self._receive_stamped if self._stamped else self._receive_plain
        self._offset_ns = realtime_minus_monotonic_ns()
        cpu, self._start_ns = time.thread_time(), clock() + _LEAD_NS
        if self._plan.duration_s is not None:
            self._stop_ns = self._start_ns + round(self._plan.duration_s * 1e9)
        while self._waiting or self._busy:
            now = clock()
            if now >= self._check_at:
                self._check(now)
            due = self._send_due(now)
            events = wait(poll, clock(), due, self._check_at, self._nap.ns if self._stamped else 0)
            for fd, mask in events:
                slot = slots.get(fd)
                if slot is None:
                    for opened in self._pool.opened():
                        self._opened(opened)
                    continue
                if mask & ~POLL_OUT:
                    receive(slot)
                if mask & POLL_OUT and slot.unsent:
                    self._write(slot, slot.unsent)
            self._nap.saw(len(events), self._busy, now)
        self._cpu_s = time.thread_time() - cpu
        self._progress(clock())

    def _receive_stamped(self, slot: Slot) -> None:
        """One read with the kernel's receive time of its last segment."""
        try:
            size, control, _, _ = slot.sock.recvmsg_into((self._buffer,), _CONTROL_BYTES)  # type: ignore[union-attr]
        except BlockingIOError:
            return
        except OSError as error:
            self._broken(slot, reason(error))
            return
        user = time.monotonic_ns()
        if control:
            seconds, nanoseconds = TIMESPEC.unpack(control[0][2])
            kernel = seconds * 1_000_000_000 + nanoseconds - self._offset_ns
            if kernel > user:
                self._sample_clock(user)
                kernel = min(user, seconds * 1_000_000_000 + nanoseconds - self._offset_ns)
        else:
            kernel = 0
            self._stamped = self._stamped and not size
        self._got(slot, size, kernel, user)

    def _receive_plain(self, slot: Slot) -> None:
        """Every read that is there: TLS may hold bytes that poll does not see."""
        while slot.sock is not None:
            try:
                size = slot.sock.recv_into(self._buffer)
            except WOULD_BLOCK:
                return
            except OSError as error:
                self._broken(slot, reason(error))
                return
            self._got(slot, size, 0, time.monotonic_ns())

    def _got(self, slot: Slot, size: int, kernel: int, user: int) -> None:
        if not size:
            self._closed(slot, kernel or user)
            return
        if not slot.busy:
            self._lose(slot)
            return
        exchange = slot.exchange
        raw = exchange.raw
        raw += self._view[:size]
        exchange.kernel_ns.append(kernel)
        exchange.user_ns.append(user)
        exchange.ends.append(len(raw))
        try:
            if slot.end.reached(raw):
                self._finish(slot, None, kernel or user)
            elif len(raw) > slot.limit:
                self._finish(slot, "response too long", kernel or user)
        except GarbageError as error:
            self._finish(slot, f"garbage: {error}", kernel or user)

    # --- sending ----------------------------------------------------------------------------------------------------

    def _send_due(self, now: int) -> int:
        """Send what is due and has a free connection; when the next one will be."""
        idle = self._pool.idle
        if now >= self._stop_ns:
            self._waiting.clear()
        while self._waiting and idle:
            scheduled = self._due_ns()
            if scheduled > now:
                return scheduled
            request, exchange = self._take()
            slot = idle.pop()
            self._busy += 1
            due = max(scheduled, slot.free_ns)
            if self._closed_loop:
                # There, the end of a request is what schedules the next one.
                exchange.offset_s = (due - self._start_ns) / 1e9
            self._begin(slot, request, exchange, due)
        return _FAR

    def _due_ns(self) -> int:
        """When the next request is scheduled."""
        return self._start_ns + round(self._waiting[0].offset_s * 1e9)

    def _take(self) -> tuple[PlannedRequest, Exchange]:
        """The next request in order and its empty record; in a repeated plan, after the last comes the first."""
        request = self._waiting.popleft()
        exchange = Exchange(request.id, request.offset_s, request.max_tokens, request.prompt_tokens)
        exchange.body_bytes = len(request.body)
        self._exchanges.append(exchange)
        if not self._waiting and self._plan.repeat:
            self._round += 1
            self._waiting.extend(replace(again, id=f"{again.id}#{self._round}") for again in self._plan.requests)
        return request, exchange

    def _begin(self, slot: Slot, request: PlannedRequest, exchange: Exchange, due_ns: int) -> None:
        data = request_head(self._target, len(request.body)) + request.body
        slot.begin(request, exchange, due_ns, self._timeout_ns)
        self._write(slot, data)

    def _write(self, slot: Slot, data: bytes) -> None:
        watched = bool(slot.unsent)
        try:
            slot.write(data)
        except OSError as error:
            self._broken(slot, reason(error))
            return
        if watched or slot.unsent:
            self._pool.watch(slot)

    # --- ends -------------------------------------------------------------------------------------------------------

    def _finish(self, slot: Slot, error: str | None, now: int) -> None:
        """The request on `slot` is over, well or not."""
        exchange, head = slot.exchange, slot.end.head
        exchange.ended_ns, exchange.error = now, error
        self._busy -= 1
        self._reads += len(exchange.ends)
        if error is not None or head is None or head.status != 200:
            self._failed += 1
        else:
            self._glance.ended.append(exchange)
        clean = error is None and not slot.unsent and not slot.end.overrun(exchange.raw)
        slot.release(now)
        if clean and head is not None and head.keep_alive:
            self._pool.idle.append(slot)
        else:
            self._lose(slot)

    def _closed(self, slot: Slot, now: int) -> None:
        """The server closed the connection: the end of a response without a length, or too early."""
        if not slot.busy:
            self._lose(slot)
            return
        try:
            whole = slot.end.reached_by_close(slot.exchange.raw)
        except GarbageError as error:
            self._finish(slot, f"garbage: {error}", now)
            return
        if whole:
            self._finish(slot, None, now)
            self._lose(slot)
        else:
            self._broken(slot, "closed early")

    def _broken(self, slot: Slot, error: str) -> None:
        """The connection failed. A request on a reused one that got no byte yet is tried once more on a fresh one.

        A server may close an idle connection just as we write to it: no failure of the request, whose time runs on.
        """
        if not slot.busy:
            self._lose(slot)
        elif slot.served and not slot.exchange.raw and slot.exchange.attempts == 1:
            self._pool.disconnect(slot)
            self._pool.want(slot)
        else:
            self._finish(slot, error, time.monotonic_ns())

    def _lose(self, slot: Slot) -> None:
        """Close a slot's connection, and replace it if it ever served."""
        self._pool.disconnect(slot)
        if self._waiting and slot.served:
            self._pool.want(slot)

    def _fail_waiting(self, error: str, now: int) -> None:
        """Give up every request that was not sent; of a repeated plan, the rest of this round."""
        for request in self._waiting:
            exchange = Exchange(request.id, request.offset_s, request.max_tokens, request.prompt_tokens)
            exchange.ended_ns, exchange.error = now, error
            self._exchanges.append(exchange)
            self._failed += 1
        self._waiting.clear()

    # --- connections and housekeeping -------------------------------------------------------------------------------

    def _opened(self, opened: Opened) -> None:
        """A connect came to its end; a request may have been waiting for it on its slot."""
        now = time.monotonic_ns()
        slot = self._pool.adopt(opened, now)
        if opened.sock is not None:
            if slot.busy and slot.request is not None:
                self._begin(slot, slot.request, slot.exchange, now)
        elif slot.busy:
            self._finish(slot, opened.error, now)
        elif self._pool.failures >= _CONNECT_FAILURES and not self._pool.by_fd:
            self._fail_waiting(opened.error or "connect", now)

    def _check(self, now: int) -> None:
        """Deadlines, lost connections, the clocks' difference, progress."""
        self._check_at = now + _CHECK_NS
        total = self._plan.total_timeout_s
        interrupted = self._stop is not None and self._stop.is_set()
        out_of_time = total is not None and now > self._start_ns + total * 1e9
        if interrupted or out_of_time:
            self._fail_waiting("not sent: " + ("interrupted" if interrupted else "the profile ran out of time"), now)
        for slot in self._pool.slots:
            if slot.busy and (interrupted or out_of_time or now > slot.deadline_ns):
                self._finish(slot, "interrupted" if interrupted else "timeout", now)
        if self._waiting and not self._pool.idle and self._due_ns() <= now + _AHEAD_NS:
            for slot in self._pool.slots:
                if slot.sock is None:
                    self._pool.want(slot)
        if now >= self._offset_at:
            self._sample_clock(now)
        if now >= self._progress_at:
            self._progress(now)

    def _sample_clock(self, now: int) -> None:
        offset = realtime_minus_monotonic_ns()
        self._steps += bool(self._offset_at) and abs(offset - self._offset_ns) > STEP_NS
        self._offset_ns, self._offset_at = offset, now + _CLOCK_NS

    def _progress(self, now: int) -> None:
        self._progress_at = now + _PROGRESS_NS
        if self._on_progress is not None:
            begun = len(self._exchanges)
            total = None if self._plan.repeat else begun + len(self._waiting)
            elapsed = max(0, now - self._start_ns) / 1e9
            reads = self._reads + sum(len(slot.exchange.ends) for slot in self._pool.slots if slot.busy)
            done = begun - self._busy
            self._on_progress(Progress(done, self._failed, self._busy, total, elapsed, reads, *self._glance.means()))
