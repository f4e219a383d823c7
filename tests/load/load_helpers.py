"""Plans against the mock server, and exchanges made of given bytes."""

from array import array
from collections.abc import Sequence

from inferencebench.load import client, parse
from inferencebench.load.mock import MockConfig, MockRequest, MockServer, words
from inferencebench.load.model import Exchange, LoadPlan, PlannedRequest, Recording, RequestSample, Samples
from inferencebench.load.wire import chat_body
from inferencebench.suites.model import Profile
from inferencebench.workload.model import Message

NS = 1_000_000_000


def body(max_tokens: int, prompt: str = "Say something.") -> bytes:
    message = Message(role="user", content=prompt)
    return chat_body("mock", [message], max_tokens=max_tokens, temperature=0.0, seed=1, force_length=True)


def plan(
    requests: int,
    concurrency: int,
    *,
    tokens: int = 10,
    offsets: Sequence[float] | None = None,
    timeout_s: float = 10.0,
    total_timeout_s: float | None = None,
    prompt: str = "Say something.",
    recorder: str = "auto",
) -> LoadPlan:
    arrival = {"arrival": "burst"} if offsets is None else {"arrival": "constant", "rate_per_s": 1.0}
    profile = Profile.model_validate({"name": "p", "requests": requests, "concurrency": concurrency, **arrival})
    planned = tuple(
        PlannedRequest(f"p/{i:04d}", body(tokens, prompt), offsets[i] if offsets else 0.0, tokens, 3)
        for i in range(requests)
    )
    return LoadPlan(profile, planned, timeout_s, total_timeout_s, None, recorder)  # type: ignore[arg-type]


def measure(config: MockConfig, what: LoadPlan) -> tuple[Samples, list[MockRequest]]:
    """Run a plan against a fresh mock; the samples and the mock's own record."""
    with MockServer(config) as server:
        recording = client.run(server.target(), what)
        return parse.samples(recording, words), server.stop()


def exchange(raw: bytes, cuts: Sequence[int]) -> Exchange:
    """`raw` read in pieces that end at `cuts` and at its end; read i came at i + 1 seconds."""
    ends = sorted({cut for cut in cuts if 0 < cut < len(raw)} | {len(raw)})
    times = array("q", [(i + 1) * NS for i in range(len(ends))])
    return Exchange(
        id="p/0000", offset_s=0.0, max_tokens=100, prompt_tokens=3, due_ns=0, sent_ns=0, ended_ns=times[-1],
        attempts=1, raw=bytearray(raw), kernel_ns=times, user_ns=times, ends=array("q", ends),
    )  # fmt: skip


def recording(*exchanges: Exchange) -> Recording:
    profile = Profile(name="p", arrival="burst", requests=len(exchanges), concurrency=1)
    return Recording("test", profile, 0, tuple(exchanges), (), 0.0, 0)


def sample(number: int = 0, **changes: object) -> RequestSample:
    """A successful request: sent 1 s, first token 2 s, 11 tokens until 4 s."""
    fields: dict[str, object] = {
        "id": f"p/{number:04d}", "profile": "p", "ok": True, "error": None, "status": 200, "scheduled_s": 0.5,
        "sent_s": 1.0, "first_s": 2.0, "end_s": 4.0, "prompt_tokens": 3, "max_tokens": 11, "usage_prompt_tokens": 3,
        "usage_completion_tokens": 11, "cached_tokens": None, "output_tokens": 11, "first_chunk_tokens": 1,
        "finish_reason": "length", "text": "x", "chunks": 11, "counted_tokens": 11, "due_s": 1.0, "closed_s": 4.0,
    }  # fmt: skip
    return RequestSample.model_validate({**fields, **changes})
