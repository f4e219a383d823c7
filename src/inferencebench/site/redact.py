"""What looks like a secret is not published: keys and tokens in transcripts, logs and diffs."""

import re

MARK = "[redacted]"

# Every repetition before a fixed part is bounded: a hostile text must not cost more than its length.
_SHAPES = (
    r"\bsk-[A-Za-z0-9_-]{16,}",
    r"\b(?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{20,}",
    r"\bgithub_pat_[A-Za-z0-9_]{20,}",
    r"\bhf_[A-Za-z0-9]{16,}",
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    r"\bAIza[A-Za-z0-9_-]{30,}",
    r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
    r"\bglpat-[A-Za-z0-9_-]{16,}",
    r"\beyJ[A-Za-z0-9_-]{8,400}\.[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{8,}",
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
)
_NAMED = (
    r"(?i)((?:api[_-]?key|secret|password|passwd|access[_-]?token|auth[_-]?token)[\w-]{0,40}[\"']?\s{0,4}[:=]\s{0,4}[\"']?)"
    r"([^\s\"',;]{8,})"
)
_BEARER = (
    r"(?i)(\bauthorization[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?:bearer|basic)\s{1,4}|\bbearer\s{1,4})"
    r"([A-Za-z0-9._~+/=-]{12,})"
)

_WHOLE = re.compile("|".join(_SHAPES), re.DOTALL)
_AFTER_NAME = (re.compile(_BEARER), re.compile(_NAMED))


# A pattern is tried only where a part that it must have is there: most text has none, and transcripts are long.
_WHOLE_PARTS = (
    "sk-", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "hf_", "AKIA", "ASIA", "AIza", "xox", "glpat-", "eyJ",
    "-----BEGIN",
)  # fmt: skip
_NAME_PARTS = (
    "bearer", "authorization", "api_key", "api-key", "apikey", "secret", "password", "passwd", "access_token",
    "access-token", "accesstoken", "auth_token", "auth-token", "authtoken",
)  # fmt: skip


def redacted(text: str) -> str:
    """The text with everything that has the shape of a credential, or stands after the name of one, replaced."""
    if any(part in text for part in _WHOLE_PARTS):
        text = _WHOLE.sub(MARK, text)
    lowered = text.lower()
    if any(part in lowered for part in _NAME_PARTS):
        for pattern in _AFTER_NAME:
            text = pattern.sub(lambda match: match[1] + MARK, text)
    return text
