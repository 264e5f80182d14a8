"""The bench: starts, watches and ends every process a run needs, and maps endings to verdicts.

What is right and how fast it is, the judge decides in a process of its own; what a profile says is
the digest's business.
"""

from refine_agent.bench.doctor import Check, doctor
from refine_agent.bench.local import LocalBench
from refine_agent.judge.seats import IN_TURNS

__all__ = ["IN_TURNS", "Check", "LocalBench", "doctor"]
