"""Trials on a real server of one's own: launch, offer the user's traffic, compare greedy replies, end it."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import NamedTuple

from inferencebench.engines.contract import Engine
from inferencebench.errors import BenchError, InfrastructureError
from inferencebench.files import write_atomic, write_json
from inferencebench.load import client, metrics, parse
from inferencebench.load.model import LoadPlan, Offered, PlannedRequest, Progress, Recording, Target
from inferencebench.load.session import WARMUP, MeasureRecord, Work, record
from inferencebench.load.speculation import speculation
from inferencebench.paths import SUBMISSION
from inferencebench.run.measure import warmup_patience_s
from inferencebench.run.trial import StartupWatch
from inferencebench.sandbox.contract import Sandbox
from inferencebench.sandbox.removal import remove_tree
from inferencebench.search.agreement import CHECK, Reference, agreeing, replies
from inferencebench.search.gate import paired
from inferencebench.search.journal import Journal
from inferencebench.search.slo import LATENCIES, STATISTICS
from inferencebench.search.space import Space
from inferencebench.search.trials import Candidate, Gate, Reading, Status
from inferencebench.serve.server import Server, ServerFailed, start
from inferencebench.serve.submission import LAUNCHER, server_spec
from inferencebench.suites.model import Metric

CHECK_CONCURRENCY = 4


@dataclass(frozen=True)
class Subject:
    """What is tuned, and under what."""

    engines: Mapping[str, Engine]
    spaces: Mapping[str, Space]
    checkpoint: Path
    work: Work
    """The user's load: one part."""
    checks: tuple[PlannedRequest, ...]
    metric: Metric
    sandbox: Sandbox
    gpus: tuple[int, ...] = ()

    def launcher(self, candidate: Candidate) -> str:
        """The launcher of a candidate."""
        rendered = self.spaces[candidate.engine].render(candidate.configuration)
        return self.engines[candidate.engine].launcher(rendered.arguments, rendered.env)


class Seen(NamedTuple):
    """One launch: what the search learns, and the whole measurement where there was one."""

    reading: Reading
    record: MeasureRecord | None


class LiveMachine:
    """Runs trials of a `Subject` in `folder`; everything it starts has ended when a call returns or raises."""

    def __init__(
        self,
        subject: Subject,
        folder: Path,
        measure_s: float,
        journal: Journal,
        on_progress: Callable[[str, Progress], None] | None = None,
    ) -> None:
        self._subject, self._folder, self._measure_s = subject, folder, measure_s
        self._journal, self._on_progress = journal, on_progress
        self._spent_s = journal.spent_s
        self._began = time.monotonic()
        self._scratch = folder / "scratch"
        self._reference_path = folder / "reference.json"
        self.reference = Reference()
        if self._spent_s and self._reference_path.exists():
            self.reference = Reference.model_validate_json(self._reference_path.read_bytes())
        self._launches = sum(1 for _ in (folder / "launches").glob("*"))
        self._last_reason = ""

    @property
    def full_questions(self) -> int:
        """Prompts that the default answered twice; all of them before it has, none where it never repeats itself."""
        repeated = self.reference.repeated
        if not repeated:
            return len(self._subject.checks)
        return len(repeated) if any(repeated.values()) else 0

    def elapsed_s(self) -> float:
        """This process's time, and what sessions before a kill used."""
        return self._spent_s + time.monotonic() - self._began

    def run(self, candidate: Candidate, questions: int, deadline_s: float, worth: float = inf) -> Reading:
        """One launch of a candidate.

        Raises InfrastructureError when no engine's default serves the traffic: nothing can be compared then."""
        if not self.reference.texts and candidate.configuration:
            raise InfrastructureError(f"the default does not serve this traffic: {self._last_reason}")
        seen = self.launch(candidate, questions, self._measure_s, deadline_s, worth)
        self._last_reason = seen.reading.reason
        return seen.reading

    def launch(
        self, candidate: Candidate, questions: int, measure_s: float, deadline_s: float, worth: float = inf
    ) -> Seen:
        """Launch, offer the load for at most `measure_s`, compare up to so many replies if the loss is at most `worth`.
        Failures are readings."""
        began = time.monotonic()
        try:
            with self._served(candidate, deadline_s) as server:
                launch_s = time.monotonic() - began
                patience_s = self._journal.patience_s(measure_s, questions)
                if self._first(candidate):
                    # It may take its time: it shows how long this traffic takes.
                    patience_s = max(1.0, deadline_s - self.elapsed_s())
                return self._measured(server, candidate, (questions, worth), measure_s, patience_s, launch_s)
        except ServerFailed as error:
            status, reason = Status.CRASHED, error.reason
        except BenchError as error:
            status, reason = Status.INFRASTRUCTURE, str(error)
        return Seen(Reading(status=status, reason=reason, launch_s=time.monotonic() - began), None)

    def _first(self, candidate: Candidate) -> bool:
        """Whether it is the default whose replies become the reference."""
        return not self.reference.texts and not candidate.configuration

    @contextmanager
    def _served(self, candidate: Candidate, deadline_s: float) -> Iterator[Server]:
        subject = self._subject
        startup = subject.engines[candidate.engine].startup
        self._launches += 1
        logs = self._folder / "launches" / f"{self._launches:04d}"
        submission, home = self._scratch / "submission", self._scratch / "home"
        remove_tree(submission)
        home.mkdir(parents=True, exist_ok=True)
        write_atomic(submission / LAUNCHER, subject.launcher(candidate))
        (submission / LAUNCHER).chmod(0o755)
        spec, argv = server_spec(
            submission, subject.checkpoint, subject.work.model, cpus=None, memory_bytes=None, scratch=home,
            # What the server leaves in its temporary files goes with the launcher, however it ends.
            gpus=subject.gpus, env={"TMPDIR": SUBMISSION},
        )  # fmt: skip
        try:
            with start(subject.sandbox, spec, argv, logs) as server:
                ready_s = min(startup.ready_s, max(1.0, deadline_s - self.elapsed_s()))
                server.wait_ready(ready_s, subject.work.model, StartupWatch(startup, logs).look)
                yield server
        finally:
            remove_tree(submission)

    def _measured(
        self,
        server: Server,
        candidate: Candidate,
        asked: tuple[int, float],
        measure_s: float,
        patience_s: float,
        launch_s: float,
    ) -> Seen:
        work, subject = self._subject.work, self._subject
        ready = time.monotonic()
        if work.warmup:
            short_s = warmup_patience_s(patience_s, measure_s) or patience_s
            if not replies(parse.samples(self._offer(server, WARMUP, work.warmup, short_s, short_s), None).requests):
                raise ServerFailed("it is ready but answers no request of the warm-up", "", None)
        part = work.parts[0]
        endless = isinstance(part.offered, Offered) and part.offered.requests is None
        cap_s = min(measure_s, getattr(part.offered, "duration_s", None) or measure_s)
        plan = LoadPlan(
            part.offered, part.requests, request_timeout_s=work.request_timeout_s,
            total_timeout_s=patience_s, duration_s=cap_s, repeat=endless,
        )  # fmt: skip
        samples = parse.samples(self._run(server, part.offered.name, plan), work.count_tokens)
        measured = time.monotonic()
        found = record(f"{candidate.engine} under tune", work, samples)
        write_json(self._folder / "launches" / f"{self._launches:04d}" / "measurement.json", found)
        reading = reading_of(found, subject.metric, launch_s, measured - ready)
        told = {name: value for name, value in speculation(samples)._asdict().items() if value is not None}
        reading = reading.model_copy(update={"metrics": {**reading.metrics, **told}})
        faults = [f for p in found.profiles for f in metrics.client_faults(p)]
        if reading.status is not Status.OK:
            # Our own client's lateness says nothing about the settings.
            status = Status.INFRASTRUCTURE if faults else Status.INVALID
            return Seen(reading.model_copy(update={"status": status}), found)
        questions, worth = asked
        if reading.loss is not None and reading.loss > worth:
            return Seen(reading, found)
        gate = self._gate(server, questions, measure_s, patience_s, first=self._first(candidate))
        return Seen(reading.model_copy(update={"gate": gate, "gate_s": time.monotonic() - measured}), found)

    def _gate(self, server: Server, questions: int, cap_s: float, patience_s: float, *, first: bool) -> Gate | None:
        """Compare greedy replies. The first default is asked twice, for a limited time, and becomes the reference."""
        if first:
            texts = self._ask(server, self._subject.checks, cap_s, patience_s)
            again = self._ask(server, tuple(c for c in self._subject.checks if c.id in texts), patience_s, patience_s)
            self.reference = Reference(texts=texts, repeated={name: again.get(name) == texts[name] for name in texts})
            write_json(self._reference_path, self.reference)
            return paired(self.reference.repeated, self.reference.repeated)
        asked = [c for c in self._subject.checks if c.id in self.reference.repeated][:questions]
        if not asked:
            return None
        mine = self._ask(server, tuple(asked), patience_s, patience_s)
        return paired(agreeing(mine, self.reference, [c.id for c in asked]), self.reference.repeated)

    def _ask(
        self, server: Server, checks: tuple[PlannedRequest, ...], cap_s: float, patience_s: float
    ) -> dict[str, str]:
        """Replies to what was started before `cap_s` and there before `patience_s`."""
        if not checks:
            return {}
        return replies(parse.samples(self._offer(server, CHECK, checks, cap_s, patience_s), None).requests)

    def _offer(
        self, server: Server, name: str, requests: tuple[PlannedRequest, ...], cap_s: float, patience_s: float
    ) -> Recording:
        cap = min(len(requests), CHECK_CONCURRENCY)
        offered = Offered(name=name, arrival="burst", requests=len(requests), concurrency=cap)
        timeout_s = self._subject.work.request_timeout_s
        plan = LoadPlan(offered, requests, request_timeout_s=timeout_s, duration_s=cap_s, total_timeout_s=patience_s)
        return self._run(server, name, plan)

    def _run(self, server: Server, name: str, plan: LoadPlan) -> Recording:
        show = self._on_progress
        target = Target(connect=server.connect, host="server")
        return client.run(target, plan, None if show is None else lambda now: show(name, now))


def reading_of(found: MeasureRecord, metric: Metric, launch_s: float, measure_s: float) -> Reading:
    """A measurement as the search sees it."""
    value = value_of(found, metric)
    timed = Reading(status=Status.INVALID, launch_s=launch_s, measure_s=measure_s)
    if not found.valid or not value:
        reason = "; ".join(found.invalid_reasons) or f"no {metric} in {found.succeeded} replies"
        return timed.model_copy(update={"reason": reason})
    loss = value if metric.lower_is_better else 1.0 / value
    return timed.model_copy(update={"status": Status.OK, "loss": loss, "metrics": figures(found)})


def value_of(found: MeasureRecord, metric: Metric) -> float | None:
    """The objective's value: means for latencies."""
    return figures(found).get(metric.value)


def figures(found: MeasureRecord) -> dict[str, float]:
    """Every figure that an objective, a bound or a chart may name, with its unit in its name."""
    shown: dict[str, float] = {
        "requests_per_s": found.requests_per_s,
        "output_tokens_per_s": found.output_tokens_per_s,
    }
    if found.balanced_score is not None:
        shown["balanced_score"] = found.balanced_score
    for latency in LATENCIES:
        if (spread := getattr(found, f"{latency}_s")) is not None:
            shown |= {f"{latency}_{statistic}_s": getattr(spread, statistic) for statistic in STATISTICS}
            shown[f"{latency}_s"] = spread.mean
    return shown
