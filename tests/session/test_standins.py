"""The stand-ins are public: their documented example is what users copy."""

import doctest

from refine_agent import standins


def test_the_documented_example_runs_as_written() -> None:
    result = doctest.testmod(standins)

    assert result.attempted > 5
    assert result.failed == 0
