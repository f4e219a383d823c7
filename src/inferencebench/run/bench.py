"""What all runs of one invocation share: the campaign directory, the model, the machine."""

from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import inferencebench
from inferencebench import MEASUREMENT_VERSION, __version__
from inferencebench.doctor.hardware import HardwareFingerprint, Peaks, calibrate_peaks, fingerprint
from inferencebench.engines import registry as engines
from inferencebench.errors import BenchError
from inferencebench.files import sha256_bytes, sha256_file, sha256_json
from inferencebench.models.store import Checkpoint, ensure_checkpoint
from inferencebench.paths import cache_dir
from inferencebench.run.machine import Cores, allocate, devices, shape
from inferencebench.run.neighbours import device_name
from inferencebench.run.reporter import Reporter, Silent
from inferencebench.run.salt import campaign_salt
from inferencebench.run.spec import RunSpec
from inferencebench.sandbox.removal import remove_tree
from inferencebench.suites.model import Suite
from inferencebench.workload.corpus import CorpusText, load_corpus
from inferencebench.workload.tokens import ChatTokenizer

REFERENCE_ENGINE = "pytorch"
REFERENCE_PACKAGES = ("torch", "transformers")
"""What the baseline's speed depends on besides our own measurement version."""


@dataclass(frozen=True)
class Sources:
    """Local files to use instead of the hub; None: the suite's own source."""

    longbench: Path | None = None
    mmlu_pro: Path | None = None
    model: str | None = None
    """Overrides the kind of the model's source (`hub`)."""


@dataclass(frozen=True)
class Bench:
    """One suite on one machine in one campaign directory. Costly parts are made when first used."""

    suite: Suite
    out: Path
    sources: Sources = field(default_factory=Sources)
    reporter: Reporter = field(default_factory=Silent)
    import_baseline: Path | None = None

    @cached_property
    def salt(self) -> bytes:
        """The campaign's secret."""
        return campaign_salt(self.out)

    @cached_property
    def salt_sha256(self) -> str:
        """Names the salt without showing it."""
        return sha256_bytes(b"salt:" + self.salt)

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The base model on disk."""
        return ensure_checkpoint(
            self.suite.model, cache_dir(), force_source=self.sources.model, progress=self.reporter.note
        )

    @cached_property
    def tokenizer(self) -> ChatTokenizer:
        """The base model's tokenizer."""
        return ChatTokenizer.load(self.checkpoint.path)

    @cached_property
    def corpus(self) -> CorpusText:
        """Text of the speed prompts."""
        return load_corpus(self.suite.corpus, self.sources.longbench)

    @cached_property
    def questions_source(self) -> str:
        """Where the quality questions come from: the data set, or the hash of the local file that stands for it."""
        local = self.sources.mmlu_pro
        return sha256_file(local) if local and local.is_file() else self.suite.quality.dataset

    @cached_property
    def cores(self) -> Cores:
        """Cores of server and client."""
        return allocate(self.suite.hardware)

    @cached_property
    def gpus(self) -> tuple[int, ...]:
        """GPUs of the server, and of the agent."""
        return devices(self.suite.hardware)

    @cached_property
    def leases(self) -> list[str]:
        """Names of the devices (of the machine, for a CPU run), in the order in which everybody takes them."""
        return sorted(map(device_name, self.gpus)) or [device_name(None)]

    @cached_property
    def hardware(self) -> HardwareFingerprint:
        """This machine."""
        return fingerprint()

    @cached_property
    def peaks(self) -> Peaks | None:
        """Calibrated peaks of a CPU machine; None where the suite states them."""
        if self.suite.hardware.tflops:
            return None
        self.reporter.note("calibrating this machine's peak rates")
        return calibrate_peaks(cache_dir())

    @cached_property
    def software(self) -> dict[str, str]:
        """What a run depends on: the reference's packages, every engine that is here (`engine:NAME`), and our version
        with the start of a digest of our files, since a checkout changes without a new version."""
        packages = {name: _version(name) for name in REFERENCE_PACKAGES}
        return packages | _engine_versions() | {"inferencebench": f"{__version__}+{_code_sha256()[:12]}"}

    @property
    def versions(self) -> dict[str, str]:
        """Of `software`, what a finished phase is tied to: an edit of a file of ours, or an engine that was installed
        since, is recorded and redoes nothing."""
        return {name: self.software[name] for name in REFERENCE_PACKAGES} | {"inferencebench": __version__}

    @cached_property
    def engine_home(self) -> Path:
        """HOME of servers whose launchers the harness wrote itself (defaults, searches): their compile caches are kept
        between launches. One per device, so that runs side by side do not write one cache. Never an agent's: it could
        keep answers there."""
        return self.scratch(Path("engine-home", *self.leases), keep=True)

    def scratch(self, purpose: Path, *, keep: bool = False) -> Path:
        """A private directory for `purpose`, the same one after a kill; emptied unless `keep`.

        Its name says nothing: a mount's source can be read inside a sandbox, and run directories name the eval seed."""
        folder = self.out / ".scratch" / sha256_bytes(str(purpose).encode())[:16]
        if not keep:
            remove_tree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def comparability(self, spec: RunSpec, requests_sha256: str, questions_sha256: str) -> dict[str, str]:
        """What must be equal between a run and its baseline for a speedup to mean anything (settled point 5)."""
        return {
            "suite": self.suite.sha256,
            "requests": requests_sha256,
            "questions": questions_sha256,
            "salt": self.salt_sha256,
            "checkpoint": self.checkpoint.sha256,
            "hardware": self.hardware.sha256,
            "server_cpus": shape(self.cores.server),
            "client_cpus": shape(self.cores.client),
            "all_cpus": shape({*self.cores.server, *self.cores.client}),  # fewer where they share
            "sandbox": spec.sandbox,
            "shared_baseline": str(spec.is_canonical_baseline and spec.share_device),
            "reference": sha256_bytes(engines.get(REFERENCE_ENGINE).default_launcher().encode()),
            "measurement_version": str(MEASUREMENT_VERSION),
            **{name: self.software[name] for name in REFERENCE_PACKAGES},
        }


def _engine_versions() -> dict[str, str]:
    found = {}
    for name in engines.names():
        with suppress(BenchError):  # a plug-in that does not load serves nobody
            if (number := engines.get(name).version()) is not None:
                found[f"engine:{name}"] = number
    return found


def _code_sha256() -> str:
    root = Path(inferencebench.__file__).parent
    files = (path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return sha256_json({path.relative_to(root).as_posix(): sha256_file(path) for path in files})


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
