"""What holds for all tests."""

from hypothesis import settings

# The same examples on each machine and in each run: a test is never red by luck. No time limit: machines are shared.
settings.register_profile("repeatable", derandomize=True, database=None, deadline=None, max_examples=50)
settings.load_profile("repeatable")
