"""Campaigns: from a matrix of suites, agents and seeds to finished run directories, on one machine or a scheduler.

In: a campaign file. Out: run directories, and `.campaign/` with what was placed where and when. One idempotent command
(`inferencebench run …`) owns one run directory; an executor only decides where and when that command runs. What is done
is read from the run directories, never from a scheduler: any part of a campaign may be killed, and `campaign run`
continues it.
"""
