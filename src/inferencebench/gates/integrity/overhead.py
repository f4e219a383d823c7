"""What the integrity gate costs a scored run: computed from a suite, or measured from a run's samples."""

from collections.abc import Sequence

from inferencebench.gates.integrity.rooflines import Roof, decode_step_s, linear_flops, roof
from inferencebench.load.model import RequestSample
from inferencebench.suites.model import Record, Scenario, Suite
from inferencebench.workload.canary import capable
from inferencebench.workload.draws import Draws
from inferencebench.workload.probes import probes

BF16 = 16


class Overhead(Record):
    """Extra requests and time of one scenario, or of one run."""

    what: str
    """The scenario's name, or the run's directory."""
    requests: int
    """Without probes, of all profiles."""
    probes: int
    time_share: float
    """Time of the probes over that of all other requests."""
    after_s: float | None
    """Seconds of scoring texts under the reference after the measurement, which sends nothing; None: computed."""


def computed(suite: Suite) -> list[Overhead]:
    """Of each scenario. Time: 16-bit arithmetic and weight traffic at the hardware's stated peak; where none is stated,
    a prompt token counts as much as an output token, which is the worst case."""
    stated = bool(suite.hardware.tflops and suite.hardware.bandwidth_gb_per_s)
    limit = roof(suite.hardware, None) if stated else None
    return [_computed(suite, scenario, limit) for scenario in suite.scenarios]


def _computed(suite: Suite, scenario: Scenario, limit: Roof | None) -> Overhead:
    found = probes(scenario, Draws(bytes(32), "overhead"), canaries=capable(suite))
    burst = next((p for p in scenario.profiles if p.arrival == "burst"), scenario.profiles[0])
    prompt, output = 1.0, 1.0
    if limit is not None:
        prompt = linear_flops(suite.model, 1) / limit.best(BF16)
        output = max(prompt, decode_step_s(suite.model, limit, BF16) / burst.concurrency)
    extra = sum(scenario.input_tokens * prompt + (p.max_tokens or scenario.output_tokens) * output for p in found)
    timed = sum(p.requests for p in scenario.profiles)
    whole = timed * (scenario.input_tokens * prompt + scenario.output_tokens * output)
    return Overhead(what=scenario.name, requests=timed, probes=len(found), time_share=extra / whole, after_s=None)


def measured(
    what: str, timed: Sequence[RequestSample], apart: Sequence[RequestSample], repeats: set[str], after_s: float
) -> Overhead:
    """Of a run: its timed samples, among them the repeats of these ids, and the probes that are kept apart."""
    own = [s for s in timed if s.id not in repeats]
    extra = [*(s for s in timed if s.id in repeats), *apart]
    return Overhead(
        what=what,
        requests=len(own),
        probes=len(extra),
        time_share=sum(map(_seconds, extra)) / max(sum(map(_seconds, own)), 1e-9),
        after_s=after_s,
    )


def _seconds(sample: RequestSample) -> float:
    return (sample.end_s or 0.0) - (sample.sent_s or 0.0)
