"""The finished phases of a run directory, read back: what judging goes by."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from inferencebench.files import read_jsonl
from inferencebench.gates.integrity.model import ServerEnd
from inferencebench.gates.quality import Answer
from inferencebench.run import baseline as baselines
from inferencebench.run import stored
from inferencebench.run.damage import LOG, damaged
from inferencebench.run.record import Machine, Manifest, Measured, Session
from inferencebench.run.spec import RunSpec
from inferencebench.workload.questions import read_questions
from inferencebench.workload.requests import read_requests

T = TypeVar("T")


class RunFiles:
    """The finished phases of a run directory, read back."""

    def __init__(self, directory: Path, spec: RunSpec) -> None:
        """Raises UserError, naming the file, when one is missing or damaged, or is not what its phase wrote."""
        stored.check_unchanged(directory)
        self.directory, self.spec = directory, spec
        self.measured = stored.record(directory / "measure" / "measured.json", Measured)
        self.machine = stored.record(directory / "measure" / "machine.json", Machine)
        self.session = stored.record(directory / "solve" / "session.json", Session)
        manifest = directory / "freeze" / "manifest.json"
        measured = self.measured.failure is None
        self.manifest = stored.record(manifest, Manifest) if measured or manifest.exists() else None
        self.comparability = stored.reading(
            directory / baselines.KEY_FILE, lambda path: baselines.KEY.validate_json(path.read_bytes())
        )
        self.requests = read_requests(directory / "prepare" / "eval.jsonl")
        self.questions = read_questions(directory / "prepare" / "eval_questions.jsonl")
        for name, found in (("requests", self.requests), ("questions", self.questions)):
            if self.comparability.get(name) != found.sha256:
                raise damaged(found.path, f"not the {name} that {baselines.KEY_FILE} names")
        self.answers = stored.reading(
            directory / baselines.ANSWERS_FILE,
            lambda path: [Answer.model_validate(row) for row in read_jsonl(path)],
        )

    @property
    def campaign(self) -> Path:
        """The campaign directory that holds the run."""
        return self.directory.absolute().parents[len(self.spec.directory(Path()).parts) - 1]

    @cached_property
    def _stopped(self) -> list[dict[str, Any]]:
        """The log's lines on the ends of measured servers, newest last."""
        return [event for event in stored.events(self.directory) if event.get("event") == "server_stopped"]

    @cached_property
    def _seen(self) -> bool:
        """Whether the log has the end of every measured server, and of one at least."""
        return len(self._stopped) >= max(1, len(self.measured.launches))

    def _of_log(self, read: Callable[[], T]) -> T:
        """What `read` makes of the log. Raises UserError when a line is not of the kind that we write."""
        return stored.reading(self.directory / LOG, lambda _: read())

    def names(self) -> tuple[str, ...] | None:
        """Host names that the measured servers asked for; None when nobody listened, or not to all of them."""
        if not self._seen:
            return None
        heard = [end["names"] for end in self._stopped if end.get("names") is not None]
        found = self._of_log(lambda: tuple(dict.fromkeys(str(name) for names in heard for name in names)))
        return found if heard else None

    def ends(self) -> list[ServerEnd]:
        """What was seen of each measured server by its end, newest last; records of older versions tell nothing."""
        return self._of_log(lambda: list(map(ServerEnd.of, self._stopped)))

    def survivors(self) -> tuple[int, ...] | None:
        """Processes that outlived the end of the session or of a server; None when not every server's end was seen."""
        pids = self._of_log(lambda: [int(pid) for end in self._stopped for pid in end.get("survivors", ())])
        return (*self.session.survivors, *pids) if self._seen else None
