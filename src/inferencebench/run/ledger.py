"""The ledger of a session: every evaluation, what changed between them, and the way back to one of them.

It is kept outside the sandbox, from what the evaluation service itself froze and measured: nothing here is the agent's
word. Snapshots are bounded in size; the best is never given up.
"""

import os
import threading
from collections.abc import Sequence
from math import exp, log, sqrt
from pathlib import Path

from inferencebench.errors import InfrastructureError, UserError
from inferencebench.run.changes import NAMED, Snapshot, variables
from inferencebench.run.freeze import NotFreezable, diff, freeze
from inferencebench.run.record import Evaluation, Manifest
from inferencebench.sandbox.removal import remove_tree
from inferencebench.serve.text import printable
from inferencebench.suites.model import Metric, Record

BEST = "BEST"
ATTEMPTS = 5
"""Of putting a directory in place while a hostile process may put another there."""
T95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)
"""Student's t, two-sided 95 %, by degrees of freedom from 1."""


class Change(Record):
    """A submission against an earlier one."""

    against: int
    """Number of the evaluation it is compared with."""
    variables: tuple[str, ...]
    """Named, at most `NAMED` of them."""
    count: int

    @property
    def single(self) -> bool:
        """Whether exactly one variable differs."""
        return self.count == 1


class Entry(Record):
    """One evaluation with what the submission changed."""

    evaluation: Evaluation
    best: bool
    """Whether it is the best full evaluation that passed."""
    restorable: bool
    since_previous: Change | None
    """None: nothing to compare with, or its snapshot was given up."""
    since_best: Change | None
    """Against the best of all."""
    single_variable: bool | None
    """Whether exactly one variable changed since the previous evaluation; None where unknown."""


class Noise(Record):
    """How far two measurements of one submission lie apart by chance."""

    relative: float | None
    """Ratio minus 1 that 95 % of such pairs stay below; None: nothing was measured twice."""
    degrees_of_freedom: int


class LedgerView(Record):
    """Answer of `GET /v1/ledger`."""

    metric: Metric
    lower_is_better: bool
    noise: Noise
    entries: tuple[Entry, ...]


class Ledger:
    """Snapshots of one session's evaluations, under `folder`; thread-safe."""

    def __init__(self, metric: Metric, folder: Path, limit_bytes: int, baseline: Sequence[float] = ()) -> None:
        """`limit_bytes` bounds a submission, and all snapshots but the best together; `baseline` holds the metric of
        each launch of the baseline."""
        self._metric, self._folder, self._limit = metric, folder, limit_bytes
        self._baseline = tuple(baseline)
        self._lock = threading.Lock()
        self._evaluations: list[Evaluation] = []
        self._snapshots: dict[int, Snapshot] = {}

    def keep(self, evaluation: Evaluation, frozen: Path) -> None:
        """Note an evaluation and copy what it measured; `frozen` may be missing (nothing could be frozen)."""
        target = self._folder / f"{evaluation.id:04d}"
        with self._lock:
            self._evaluations.append(evaluation)
            remove_tree(target)
            try:
                manifest = freeze(frozen, target, self._limit)
            except NotFreezable:
                remove_tree(target)
                return
            self._snapshots[evaluation.id] = Snapshot(target, manifest)
            self._give_up()

    def view(self) -> LedgerView:
        """All evaluations, oldest first."""
        with self._lock:
            best = self._best()
            entries = [self._entry(number, best) for number in range(len(self._evaluations))]
            noise = noise_floor(self._evaluations, self._baseline)
        lower = self._metric.lower_is_better
        return LedgerView(metric=self._metric, lower_is_better=lower, noise=noise, entries=tuple(entries))

    def diff(self, which: str, against: str) -> str:
        """Unified diff of evaluation `which` (a number or BEST) since `against` (`previous`, `best` or a number).

        Raises UserError for what is not there."""
        with self._lock:
            after = self._find(which)
            before = None
            if against == "previous":
                earlier = [e for e in self._evaluations if e.id < after.id]
                before = earlier[-1] if earlier else None
            else:
                before = self._find(against)
            new = self._snapshot(after)
            old = self._snapshot(before) if before else None
            text = diff(old.folder if old else None, new.folder, _changed(old, new))
            gone = sorted(old.files.keys() - new.files.keys()) if old else []
        return text + "".join(f"Removed: {printable(path)}\n" for path in gone)

    def restore(self, which: str, workspace: Path) -> Evaluation:
        """Put the submission of a valid evaluation in place; what lay there goes to `submission.replaced`.

        Raises UserError when it is not there or not valid, InfrastructureError when it cannot be put there."""
        with self._lock:
            chosen = self._find(which)
            if not chosen.ok or chosen.quality_passed is False:
                raise UserError(f"evaluation {chosen.id} is not valid: {'it failed' if not chosen.ok else 'its gate'}")
            snapshot = self._snapshot(chosen)
            staged, trash = self._folder / "restore", self._folder / "replaced"
            remove_tree(staged)
            copied = freeze(snapshot.folder, staged, self._limit)
            if copied.sha256 != chosen.submission_sha256:
                raise InfrastructureError(f"ledger: the snapshot of evaluation {chosen.id} has changed")
            put_in_place(staged, workspace, "submission", "submission.replaced", trash)
            return chosen

    def _best(self) -> Evaluation | None:
        valid = [e for e in self._evaluations if e.ok and not e.quick and e.quality_passed is not False and e.value]
        pick = min if self._metric.lower_is_better else max
        return pick(valid, key=lambda e: e.value or 0.0, default=None)

    def _find(self, which: str) -> Evaluation:
        if which.upper() == BEST:
            if (best := self._best()) is None:
                raise UserError("there is no best yet: no full evaluation passed (quick ones do not count)")
            return best
        number = int(which) if which.isdecimal() and len(which) < 9 else 0
        found = next((e for e in self._evaluations if e.id == number), None)
        if found is None:
            raise UserError(f"evaluation {printable(which, 20)!r}: expected BEST or 1 to {len(self._evaluations)}")
        return found

    def _snapshot(self, evaluation: Evaluation) -> Snapshot:
        if (snapshot := self._snapshots.get(evaluation.id)) is None:
            raise UserError(f"evaluation {evaluation.id}: its submission was not kept (too large, or not readable)")
        return snapshot

    def _entry(self, number: int, best: Evaluation | None) -> Entry:
        evaluation = self._evaluations[number]
        previous = self._change(self._evaluations[number - 1], evaluation) if number else None
        return Entry(
            evaluation=evaluation.model_copy(
                update={"error": printable(evaluation.error) if evaluation.error else None}
            ),
            best=best is not None and best.id == evaluation.id,
            restorable=evaluation.ok and evaluation.quality_passed is not False and evaluation.id in self._snapshots,
            since_previous=previous,
            since_best=self._change(best, evaluation) if best is not None and best.id != evaluation.id else None,
            single_variable=previous.single if previous else None,
        )

    def _change(self, before: Evaluation, after: Evaluation) -> Change | None:
        old, new = self._snapshots.get(before.id), self._snapshots.get(after.id)
        if old is None or new is None:
            return None
        found = variables(old, new)
        return Change(against=before.id, variables=tuple(found[:NAMED]), count=len(found))

    def _give_up(self) -> None:
        """Remove the oldest snapshots, never the best and the newest, until the rest fits."""
        best = self._best()
        spared = {best.id if best else 0, self._evaluations[-1].id}
        for number in sorted(self._snapshots.keys() - spared):
            if sum(s.manifest.bytes for s in self._snapshots.values()) <= self._limit:
                return
            remove_tree(self._snapshots.pop(number).folder)


def noise_floor(evaluations: Sequence[Evaluation], baseline: Sequence[float]) -> Noise:
    """The 95 % bound of the ratio of two measurements of one thing: exp(t * s * sqrt(2)) - 1, with s the pooled
    standard deviation of the logarithm over groups of equal submissions (and the baseline's launches), t Student's."""
    groups: dict[tuple[str, bool], list[float]] = {}
    for e in evaluations:
        if e.ok and e.value:
            groups.setdefault((e.submission_sha256, e.quick), []).append(log(e.value))
    groups[("baseline", False)] = [log(value) for value in baseline if value > 0]
    freedom, squares = 0, 0.0
    for values in groups.values():
        if len(values) > 1:
            mean = sum(values) / len(values)
            squares += sum((value - mean) ** 2 for value in values)
            freedom += len(values) - 1
    if not freedom:
        return Noise(relative=None, degrees_of_freedom=0)
    t = T95[freedom - 1] if freedom <= len(T95) else 2.1
    return Noise(relative=exp(min(50.0, t * sqrt(2 * squares / freedom))) - 1, degrees_of_freedom=freedom)


def put_in_place(staged: Path, workspace: Path, name: str, replaced: str, trash: Path) -> None:
    """Make `staged` the entry `name` of `workspace`, and what was there the entry `replaced`.

    Only entries of the workspace itself are renamed, by its descriptor, so that no link leads anywhere else. Raises
    InfrastructureError when a process inside keeps putting something in the way."""
    folder = os.open(workspace, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        for _ in range(ATTEMPTS):
            _discard(folder, replaced, trash)
            try:
                if _exists(folder, name):
                    os.rename(name, replaced, src_dir_fd=folder, dst_dir_fd=folder)
                os.rename(staged, name, dst_dir_fd=folder)
                return
            except OSError:
                continue
    finally:
        os.close(folder)
        _remove(trash)
    raise InfrastructureError("ledger: the submission could not be put in place; end what writes there")


def _exists(folder: int, name: str) -> bool:
    try:
        os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    return True


def _discard(folder: int, name: str, trash: Path) -> None:
    if _exists(folder, name):
        _remove(trash)
        os.rename(name, trash, src_dir_fd=folder)
        _remove(trash)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        remove_tree(path)
    else:
        path.unlink(missing_ok=True)


def _changed(old: Snapshot | None, new: Snapshot) -> Manifest:
    """The manifest of `new` without the files that `old` has alike."""
    alike = {path for path, file in (old.files if old else {}).items() if new.files.get(path) == file}
    return new.manifest.model_copy(update={"files": tuple(f for f in new.manifest.files if f.path not in alike)})
