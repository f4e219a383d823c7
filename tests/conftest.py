"""What all tests share: properties are tested by what they say, not by how long the machine took for an example."""

from hypothesis import settings

settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")
