"""Question sets of the quality gate: a keyed, stratified subset of a data set, with its gold answers.

The factual set is calibrated on SmolLM2-135M-Instruct (the laptop suite's checkpoint, zero-shot, greedy, at most 12
tokens). Of 36 kinds of question tried, each in its best of a few wordings, the whole kinds with about 0.6 or more right
were kept; of capitals and currencies, only the list of the best-known countries. Single questions were left out for
their form alone: a gold that is an English word (He, I, As) or that the question repeats (sheep), a contested one.

Over all 570 questions, and over 1,000 random dev or eval sets of 200 at tau = 0.95:

| | accuracy | lost / gained | sets failed |
|---|---|---|---|
| transformers float32 (reference) | 0.716 | | |
| transformers bfloat16 | 0.711 | 10 / 7 | 0.1 % |
| llama.cpp f16 | 0.711 | 3 / 0 | 0 % |
| llama.cpp q4_1 | 0.698 | 13 / 3 | 2.2 % |
| llama.cpp q8_0 | 0.688 | 26 / 10 | 29 % |
| 1 of 30 layers dropped | 0.388 | 209 / 22 | 100 % |
| 4 of 30 layers dropped | 0.011 | 404 / 2 | 100 % |
| 3-bit weights, round to nearest, groups of 32 | 0.063 | 378 / 6 | 100 % |
| 2-bit weights, round to nearest, groups of 32 or 64 | 0.000 | 408 / 0 | 100 % |

Sets of 150 fail bfloat16 in 0.7 % of the draws, sets of 60 in 5.7 %. So q8_0 is no honest control here: it really loses
3 points, and lies at the threshold. (The checkpoint's weights lie on a 4-bit grid that q4_1 holds and q8_0 does not.)
"""

from inferencebench.workload.questions.build import build_questions, read_questions

__all__ = ["build_questions", "read_questions"]
