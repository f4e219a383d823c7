"""Question sets of the quality gate: a keyed, stratified subset of a data set, with its gold answers.

The factual set is calibrated on SmolLM2-135M-Instruct (the laptop suite's checkpoint, zero-shot, greedy, at most 12
tokens). Of 36 kinds of question tried, each in its best of a few wordings, the whole kinds with about 0.6 or more right
were kept; of capitals and currencies, only the list of the best-known countries. Single questions were left out for
their form alone: a gold that is an English word (He, I, As) or that the question repeats (sheep), a contested one.

What the gate does to honest and broken models over all 570 questions: `docs/laptop-quality.md`.
"""

from inferencebench.workload.questions.build import build_questions, read_questions

__all__ = ["build_questions", "read_questions"]
