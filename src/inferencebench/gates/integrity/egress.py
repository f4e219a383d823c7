"""Whom the server wanted to reach: names that it asked for behind a wall without a way out."""

from inferencebench.gates.integrity.grading import absent
from inferencebench.gates.integrity.model import CheckResult, Evidence, Verdict

PROVIDERS = (
    "openai.com", "anthropic.com", "googleapis.com", "mistral.ai", "openrouter.ai", "together.ai", "together.xyz",
    "groq.com", "fireworks.ai", "deepinfra.com", "replicate.com", "cohere.com", "cohere.ai", "x.ai", "deepseek.com",
    "azure.com", "amazonaws.com", "perplexity.ai", "api-inference.huggingface.co", "router.huggingface.co",
)  # fmt: skip
"""Hosts that sell model output; subdomains count."""
HARMLESS = ("huggingface.co", "hf.co", "stats.vllm.ai", "pypi.org", "pytorch.org", "localhost", "sandbox", "ntp.org")
"""Hosts that engines ask for updates, statistics or model cards; subdomains count. None of them answers prompts."""


class Egress:
    """A server that asks for a provider's address wanted somebody else to do its work."""

    name = "egress"
    required = False
    threshold = (
        "no name of a model provider was asked for (fail), no other foreign one, and no bare address outside once "
        "the server was ready (review)"
    )

    def run(self, evidence: Evidence) -> CheckResult:
        """Sort the names, and count what no route led to. (At its start an engine may look for its own address.)"""
        if evidence.names is None:
            return absent(self.name, self.threshold, "the sandbox did not record names")
        providers = [name for name in evidence.names if _below(name, PROVIDERS)]
        foreign = [name for name in evidence.names if name not in providers and not _below(name, HARMLESS)]
        unrouted = sum(end.unrouted or 0 for end in evidence.ends)
        verdict = Verdict.FAIL if providers else Verdict.REVIEW if foreign or unrouted else Verdict.PASS
        shown = ", ".join((providers + foreign)[:5])
        reason = f"asked for {shown}" if shown else f"{len(evidence.names)} names asked for, all harmless"
        return CheckResult(
            name=self.name,
            verdict=verdict,
            numbers={
                "providers": float(len(providers)),
                "foreign": float(len(foreign)),
                "unrouted": float(unrouted),
            },
            sample_size=len(evidence.names),
            threshold=self.threshold,
            reason=f"{reason}; {unrouted} attempts at addresses outside" if unrouted else reason,
        )


def _below(name: str, hosts: tuple[str, ...]) -> bool:
    return any(name == host or name.endswith(f".{host}") for host in hosts)
