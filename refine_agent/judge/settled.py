"""What the judge found out about problem and machine before anyone was judged.

A record of its own file, so that the bench can read it without importing torch.
"""

import msgspec

from refine_agent.profiling.records import Ceilings, Work
from refine_agent.records import Fitness, Phase


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What need not be found out twice: the device's ceilings, a problem's fitness and work.

    ``sensitivity`` is, per case and output, how far the exact answer moves when the inputs do by
    two units in the last place of float32.
    """

    ceilings: Ceilings | None = None
    fitness: Fitness | None = None
    sensitivity: dict[str, tuple[float, ...]] = {}
    work: Work | None = None


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """Fitness of the problem, work counted, ceilings measured, floors derived."""

    fitness: Fitness
    sensitivity: dict[str, tuple[float, ...]]
    work: Work
    ceilings: Ceilings
    bound_us: float | None
    floor_us: float | None
    torch: str
    phases: tuple[Phase, ...]
