"""When requests are due: absolute offsets, drawn from the seed before the run, so that no sleep can drift."""

import random

from inferencebench.suites.model import Profile


def offsets(profile: Profile, seed: int) -> list[float]:
    """Scheduled sends in seconds after the profile's start, one per request, in order.

    burst: all 0 (a closed loop under the cap). poisson: cumulative exponential gaps of mean 1/rate, the first request
    after one gap. constant: i/rate.
    """
    if profile.rate_per_s is None:
        return [0.0] * profile.requests
    if profile.arrival == "constant":
        return [i / profile.rate_per_s for i in range(profile.requests)]
    draw = random.Random(seed)
    times, now = [], 0.0
    for _ in range(profile.requests):
        now += draw.expovariate(profile.rate_per_s)
        times.append(now)
    return times
