"""What the judge found out about problem and machine before anyone was judged.

A record of its own file, so that the bench can read it without importing torch.
"""

import msgspec

from refine_agent.profiling.records import Ceilings, Work
from refine_agent.records import Fitness, Phase


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """Fitness of the problem, work counted, ceilings measured, floors derived."""

    fitness: Fitness
    work: Work
    ceilings: Ceilings
    bound_us: float | None
    floor_us: float | None
    precision: str
    torch: str
    phases: tuple[Phase, ...]
