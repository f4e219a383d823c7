"""A command-line agent's session: started, continued after every early exit, and ended with the clock.

Every invocation of the CLI has a sandbox of its own; HOME, /tmp and the workspace are kept between them. What is told
apart here survives a crash of the harness: `session/state.json` says how far the session was.
"""

import dataclasses
import time
import uuid
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import parse_qsl

from inferencebench.agents import install
from inferencebench.agents.adapters.contract import Adapter, ExitKind, Setup, step
from inferencebench.agents.contract import Ended, SolveSession
from inferencebench.agents.door import LOG, inside_port, opened
from inferencebench.agents.events import EventReader
from inferencebench.agents.meter import Limits, Meter, SessionUsage, by_model
from inferencebench.agents.network import environment
from inferencebench.agents.prices import CAMPAIGN_FILE
from inferencebench.agents.providers import PLACEHOLDER
from inferencebench.agents.proxy import Gateway
from inferencebench.agents.trajectory import StepKind
from inferencebench.agents.usage import Usage
from inferencebench.errors import MissingError, UserError
from inferencebench.files import sha256_json, write_atomic, write_json
from inferencebench.sandbox.bubblewrap import HOME
from inferencebench.sandbox.contract import Mount, SandboxSpec
from inferencebench.suites.model import Record

INSIDE = "/opt/agent"
PROGRAMS = f"{INSIDE}/node_modules/.bin"
PROMPT_FILE = ".prompt.txt"
POLL_S = 0.2


class Policy(NamedTuple):
    """When a session goes on; seconds."""

    last_resume_s: float = 60.0
    """With less left, an early exit is the end."""
    instant_s: float = 10.0
    """A shorter invocation counts as an instant exit."""
    backoff_s: float = 1.0
    """Pause after the first instant exit or failure; doubles with each in a row."""
    max_backoff_s: float = 120.0
    term_s: float = 2.0
    """SIGTERM is sent so long before the deadline, so that nothing runs after it."""
    limit_s: float = 10.0
    """How long a CLI may take to end by itself once a limit refuses its calls."""
    refusals: int = 3
    """Invocations in a row without one answered call, refused by the provider, after which there is no hope; and calls
    in a row whose key was refused, after which a CLI is not left to try again."""


class State(Record):
    """How far a session is; written before and after every invocation."""

    session_id: str
    invocations: int = 0
    """Started so far."""
    short: int = 0
    """Instant exits and failures in a row."""
    refused: int = 0
    ended: str | None = None
    exit_code: int | None = None
    reason: str = ""
    survivors: tuple[int, ...] = ()


class Options(NamedTuple):
    """`MODEL?effort=high&turns=100&tokens=2000000&usd=5`."""

    model: str
    effort: str | None
    limits: Limits


def options(kind: str, rest: str) -> Options:
    """Read an agent's name after its kind. UserError when it is not of that form."""
    model, _, query = rest.partition("?")
    given = dict(parse_qsl(query, keep_blank_values=True))
    effort = given.pop("effort", None)
    try:
        limits = Limits.model_validate({name: float(v) if name == "usd" else int(v) for name, v in given.items()})
        positive = all(value is None or value > 0 for value in (limits.tokens, limits.usd, limits.turns))
    except ValueError:
        positive = False
    if not model or effort == "" or not positive:
        form = f"{kind}:MODEL?effort=high&turns=100&tokens=2000000&usd=5"
        raise UserError(f"agent {kind}:{rest}: write it as {form} (all after the model may be left out)")
    return Options(model, effort, limits)


class CliAgent:
    """One command-line agent with one model."""

    resumable = True

    def __init__(self, adapter: Adapter, rest: str, policy: Policy = Policy()) -> None:
        self._adapter, self._policy = adapter, policy
        self._options = options(adapter.package.name, rest)
        self._provider, self._model = adapter.provider(self._options.model)
        self.name = f"{adapter.package.name}:{rest}"

    @property
    def sha256(self) -> str:
        """Hash of its name and pinned package."""
        return sha256_json([self.name, self._adapter.package.model_dump()])

    def ready(self) -> None:
        """Check the key, and install the CLI where it is not. MissingError when either is not to be had."""
        self._provider.upstream(self._provider.credential())
        install.install(self._adapter.package)

    def solve(self, session: SolveSession) -> Ended:
        """Run the CLI until its time is over, a limit is reached, or there is no hope.

        Raises MissingError when the provider never answered one call: that says nothing of the agent."""
        return _Run(self._adapter, self._options, self._policy, session).run()


class _Run:
    """One session under way."""

    def __init__(self, adapter: Adapter, chosen: Options, policy: Policy, session: SolveSession) -> None:
        self.adapter, self.chosen, self.policy, self.session = adapter, chosen, policy, session
        self.provider, self.model = adapter.provider(chosen.model)
        self.credential = self.provider.credential()
        self.upstream = self.provider.upstream(self.credential)
        if session.scratch is None:
            raise UserError("a command-line agent needs a private directory for its HOME")
        self.home, self.tmp = session.scratch / "home", session.scratch / "tmp"
        self.folder = session.log_dir / "session"
        self.folder.mkdir(parents=True, exist_ok=True)
        if found := install.installed(adapter.package):
            write_json(self.folder / install.RECORD, found)
        if chosen.limits.usd is not None and session.prices.usd(self.model, Usage()) is None:
            raise MissingError(
                f"{adapter.package.name}:{chosen.model}: a limit in dollars needs the price of {self.model}; add it to "
                f"{CAMPAIGN_FILE} in the campaign directory"
            )
        self.meter = Meter(self.folder / "requests.jsonl", chosen.limits, session.prices)
        self.state = self._load()
        self.port = inside_port(session.sandbox.verified)
        self.setup = Setup(
            model=self.model,
            effort=chosen.effort,
            base_url=f"http://127.0.0.1:{self.port}",
            placeholder=PLACEHOLDER,
            session_id=self.state.session_id,
            credential=self.credential.kind,
            prompt_file=f"{HOME}/{PROMPT_FILE}",
        )

    def _load(self) -> State:
        try:
            return State.model_validate_json((self.folder / "state.json").read_bytes())
        except (OSError, ValueError):
            return State(session_id=str(uuid.uuid4()))

    def _save(self, **changes: object) -> None:
        self.state = self.state.model_copy(update=changes)
        write_json(self.folder / "state.json", self.state)

    def run(self) -> Ended:
        while self.state.ended is None:
            self._once()
        rows = by_model(self.meter.calls(), self.session.prices)
        write_json(self.folder / "usage.json", SessionUsage(credential=self.credential.kind, models=rows))
        if not any(call.succeeded for call in self.meter.calls()):
            calls = [call for call in self.meter.calls() if call.generates and call.refused is None]
            told = f"{len(calls)} calls, the last gave {calls[-1].status or calls[-1].error}" if calls else "no call"
            if calls or self.state.ended != "finished":
                raise MissingError(
                    f"{self.session.log_dir}: {self.provider.name} answered no call of {self.model} ({told}); "
                    f"check {self.provider.key_env} and the model's name, see {self.folder.name}/requests.jsonl"
                )
        return Ended(self.state.ended or "failed", self.state.exit_code, self.state.survivors)

    def _once(self) -> None:
        """One invocation, and what follows from its end."""
        clock, policy = self.session.clock, self.policy
        if clock.remaining_s <= policy.term_s:
            self._save(ended="deadline")
            return
        number = self.state.invocations
        began = clock.elapsed_s
        self._save(invocations=number + 1)
        kind, code, survivors = self._invoke(number)
        short = clock.elapsed_s - began < policy.instant_s or kind is not ExitKind.FINISHED
        refused = self.state.refused + 1 if kind is ExitKind.REFUSED else 0
        ended, reason = self._verdict(kind, refused)
        self._save(
            short=self.state.short + 1 if short else 0, refused=refused, ended=ended, reason=reason, exit_code=code,
            survivors=(*self.state.survivors, *survivors),
        )  # fmt: skip
        if ended is None and self.state.short:
            pause = min(policy.backoff_s * 2 ** min(self.state.short - 1, 16), policy.max_backoff_s)
            time.sleep(max(0.0, min(pause, clock.remaining_s - policy.last_resume_s)))
            if clock.remaining_s < policy.last_resume_s:
                self._save(ended="finished" if kind is ExitKind.FINISHED else "failed", reason=kind.value)

    def _verdict(self, kind: ExitKind, refused: int) -> tuple[str | None, str]:
        """Whether the session is over after an invocation that ended so, and why."""
        if kind in (ExitKind.DEADLINE, ExitKind.LIMIT):
            return kind.value, self.meter.exhausted() or ""
        if kind is ExitKind.AUTH:
            return "failed", "the provider does not take the key"
        if refused >= self.policy.refusals:
            return "failed", "the provider refuses every request"
        if self.session.clock.remaining_s < self.policy.last_resume_s:
            return ("finished" if kind is ExitKind.FINISHED else "failed"), kind.value
        return None, ""

    def _prompt(self, number: int) -> str:
        if number == 0:
            return self.session.prompt
        minutes, seconds = divmod(int(self.session.clock.remaining_s), 60)
        return (
            f"You stopped, but {minutes} min {seconds} s of the budget are left. Go on with the task until the time is "
            "over: check with ./evaluate that the submission as it is now works, then make it faster. Processes that "
            "you had left running were ended. ./timer tells the time that is left."
        )

    def _spec(self) -> SandboxSpec:
        base = self.session.spec
        mounts = (
            Mount(self.home, HOME, writable=True),
            Mount(self.tmp, "/tmp", writable=True),
            Mount(self.adapter.package.folder, INSIDE),
        )
        paths = {"HOME": HOME, "TERM": "dumb", "XDG_DATA_HOME": f"{HOME}/.local/share"}
        paths |= {f"XDG_{kind}_HOME": f"{HOME}/.{kind.lower()}" for kind in ("CONFIG", "CACHE", "STATE")}
        paths |= {"PATH": f"{base.env['PATH']}:{PROGRAMS}"}
        network = environment(self.session.net, self.port)
        env = {**base.env, **paths, **network, **self.adapter.environment(self.setup)}
        return dataclasses.replace(base, mounts=(*base.mounts, *mounts), env=env, gateway_port=self.port)

    def _prepare(self, number: int, prompt: str) -> None:
        """The HOME before an invocation. What the agent made of it stays, but for the configuration's first writing."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.tmp.mkdir(parents=True, exist_ok=True)
        self.tmp.chmod(0o1777)
        files = self.adapter.files(self.setup) if number == 0 else {}
        for name, text in {**files, PROMPT_FILE: prompt}.items():
            path = self.home / name
            if number and path.parent.is_symlink():
                continue
            write_atomic(path, text)

    def _invoke(self, number: int) -> tuple[ExitKind, int | None, tuple[int, ...]]:
        prompt = self._prompt(number)
        self._prepare(number, prompt)
        make = self.adapter.start if number == 0 or not self._spoken() else self.adapter.resume
        argv = make(self.setup, prompt)
        argv = [f"{PROGRAMS}/{arg}" if arg == self.adapter.package.program else arg for arg in argv]
        out, err = f"session/stdout-{number:03d}.log", f"session/stderr-{number:03d}.log"
        reader = EventReader(
            self.session.log_dir / out, self.session.log_dir / "trajectory.jsonl", self.adapter.parser(), number
        )
        reader.add(step(StepKind.PROMPT, prompt), self.session.clock.elapsed_s)
        command = dataclasses.replace(self.session, spec=self._spec()).start(argv, out, err)
        clock = self.session.clock
        gateway = Gateway(self.provider, self.credential, self.upstream, self.meter, clock, number)
        try:
            listener = command.process.take_gateway()
            with opened(listener, self.session.net, gateway, clock, self.folder / LOG, self.port):
                stopped = self._watch(number, command.poll, reader)
                report = command.terminate(min(self.policy.term_s, self.session.clock.remaining_s))
        finally:
            command.terminate()
        reader.read(self.session.clock.elapsed_s, last=True)
        code = command.poll() if stopped is None else None
        return stopped or self._classify(number, code, reader.ended_well), code, report.survivors

    def _spoken(self) -> bool:
        """Whether the model answered before, so that there is a conversation to continue."""
        return any(call.succeeded for call in self.meter.calls())

    def _key_refused(self, number: int) -> bool:
        """Whether the newest calls of an invocation all failed for the key: some CLIs would try for ever."""
        newest = [call.status for call in self.meter.calls(number) if call.billed][-self.policy.refusals :]
        return len(newest) == self.policy.refusals and all(STATUS_KINDS.get(s) is ExitKind.AUTH for s in newest)

    def _watch(self, number: int, poll: Callable[[], int | None], reader: EventReader) -> ExitKind | None:
        """Wait for the CLI's own end (None), the deadline, a limit or a refused key; read its events meanwhile."""
        limit_since: float | None = None
        while poll() is None:
            now = self.session.clock
            reader.read(now.elapsed_s)
            if now.remaining_s <= self.policy.term_s:
                return ExitKind.DEADLINE
            if self.meter.exhausted():
                limit_since = now.elapsed_s if limit_since is None else limit_since
                if now.elapsed_s - limit_since > self.policy.limit_s:
                    return ExitKind.LIMIT
            if self._key_refused(number):
                return ExitKind.AUTH
            time.sleep(min(POLL_S, max(0.0, now.remaining_s - self.policy.term_s)))
        return ExitKind.LIMIT if self.meter.exhausted() else None

    def _classify(self, number: int, code: int | None, ended_well: bool) -> ExitKind:
        """The proxy saw what the provider said last; exit code and terminal event say the rest."""
        if code == 0 and ended_well:
            return ExitKind.FINISHED
        calls = [call for call in self.meter.calls(number) if call.generates and call.refused is None]
        status = calls[-1].status if calls else 200
        return STATUS_KINDS.get(status, ExitKind.OVERLOAD if status >= 500 or not status else ExitKind.CRASH)


STATUS_KINDS = {
    401: ExitKind.AUTH,
    402: ExitKind.AUTH,
    403: ExitKind.AUTH,
    429: ExitKind.RATE_LIMIT,
    400: ExitKind.REFUSED,
    404: ExitKind.REFUSED,
    413: ExitKind.REFUSED,
    422: ExitKind.REFUSED,
}
"""What the provider's last status says of an invocation that failed; 5xx and no reply are an overload."""
