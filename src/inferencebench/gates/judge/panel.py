"""Asking the judges, verifying what they quote, and adding it up."""

import re
from collections.abc import Sequence

from inferencebench.files import sha256_json
from inferencebench.gates.judge.model import Exhibit, Judged, Opinion, Panel, PanelVerdict, Quote
from inferencebench.gates.judge.prompt import brief, document, new_mark
from inferencebench.gates.judge.providers import Provider
from inferencebench.gates.judge.schema import read

MIN_QUOTE = 4
"""A shorter quote proves nothing."""


def convene(providers: Sequence[Provider], exhibits: Sequence[Exhibit]) -> Panel:
    """Ask every judge about the same exhibits, each apart from the others."""
    evidence = sha256_json([list(exhibit) for exhibit in exhibits])
    judged = tuple(_ask(provider, exhibits) for provider in providers)
    verdict, reason = _add_up(judged)
    return Panel(verdict=verdict, reason=reason, judges=judged, evidence_sha256=evidence)


def _ask(provider: Provider, exhibits: Sequence[Exhibit]) -> Judged:
    mark = new_mark()
    reply = provider.ask(brief(mark), document(exhibits, mark))
    opinion, error = None, reply.error
    if error is None:
        try:
            opinion = read(reply.answer)
        except ValueError as problem:
            error = str(problem)
    return Judged(
        judge=provider.name,
        opinion=opinion,
        error=error,
        unverified=unverified(opinion, exhibits) if opinion else 0,
        request_id=reply.request_id,
        input_tokens=reply.input_tokens,
        output_tokens=reply.output_tokens,
    )


def unverified(opinion: Opinion, exhibits: Sequence[Exhibit]) -> int:
    """How many findings lack what they rely on: a present label without a quote, or a quote that is not there."""
    lines = {exhibit.name: exhibit.text.split("\n") for exhibit in exhibits}
    bad = 0
    for finding in opinion.findings:
        if finding.present and not finding.quotes:
            bad += 1
        bad += sum(not _holds(quote, lines.get(quote.exhibit, [])) for quote in finding.quotes)
    return bad


def _holds(quote: Quote, lines: Sequence[str]) -> bool:
    """Whether the line says what is quoted, white space aside."""
    if not 1 <= quote.line <= len(lines):
        return False
    wanted = _plain(quote.text)
    return len(wanted) >= MIN_QUOTE and wanted in _plain(lines[quote.line - 1])


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _add_up(judged: Sequence[Judged]) -> tuple[PanelVerdict, str]:
    """Clear only if every judge answered, found nothing, and quoted nothing that is not there."""
    if not judged:
        return PanelVerdict.NOT_ASKED, "no provider key is set: the gate stands on evidence alone"
    if silent := [f"{j.judge}: {j.error}" for j in judged if j.error]:
        return PanelVerdict.REVIEW, "; ".join(silent)
    if false := [j.judge for j in judged if j.unverified]:
        return PanelVerdict.REVIEW, f"quotes of {', '.join(false)} are not in the exhibits"
    found = [sorted(j.present()) for j in judged]
    if not any(found):
        return PanelVerdict.CLEAR, f"{len(judged)} judges found nothing"
    said = "; ".join(f"{j.judge}: {', '.join(labels) or 'nothing'}" for j, labels in zip(judged, found, strict=True))
    return PanelVerdict.REVIEW, said if len({tuple(labels) for labels in found}) == 1 else f"they disagree: {said}"
