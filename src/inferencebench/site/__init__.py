"""The static site of some campaigns. In: run directories. Out: HTML, JavaScript data and downloads that load nothing
from anywhere, work from `file://`, and show agents' text only as text.

`boards` sorts results into boards, `digest` reads one run directory, `build` writes the pages and leaves those of
unchanged runs alone, `live` serves the same site while a campaign runs.
"""
