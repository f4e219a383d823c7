"""Question sets of the quality gate: a keyed, stratified subset of a data set, with its gold answers."""

from inferencebench.workload.questions.build import build_questions, read_questions

__all__ = ["build_questions", "read_questions"]
