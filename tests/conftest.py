"""What all tests share."""

from hypothesis import settings

# Machines are shared and slow at times: no deadline per example. The same examples every time: a red test is a change.
settings.register_profile("elenchus", deadline=None, derandomize=True)
settings.load_profile("elenchus")
