"""What makes a speedup doubtful, on numbers made up for it."""

from __future__ import annotations

import pytest

from refine_agent.judge import weighing
from refine_agent.judge.layers import ALL_LAYERS
from refine_agent.judge.settled import Settled
from refine_agent.profiling.records import Ceilings, Flops, Precision, Work
from refine_agent.records import Fitness
from tests import synthetic

# 268 MB at a copy's 4.27 TB/s take 62.9 µs.
UNKNOWN_ARCHITECTURE = Ceilings(device="a new GPU", copy_gbps=4270.0, fp32_matmul_tflops=51.0)


def settled(precision: Precision) -> Settled:
    work = Work(bytes_needed=268_500_992, flops=(Flops(precision=precision, count=10**8),))
    return Settled(
        fitness=Fitness(rejected=("zeros",)),
        sensitivity={},
        work=work,
        ceilings=UNKNOWN_ARCHITECTURE,
        bound_us=None,
        floor_us=None,
        torch="2.13.0",
        phases=(),
    )


@pytest.mark.parametrize("precision", ["fp32", "fp64"])
@pytest.mark.parametrize(("median_us", "doubted"), [(50.0, True), (70.0, False)])
def test_what_moves_its_bytes_too_fast_is_doubted_whatever_its_operations_take(
    precision: Precision, median_us: float, *, doubted: bool
) -> None:
    # No library's rate in fp64 is known here, nor the datasheet's: that takes no check away.
    found = weighing._suspicions(
        synthetic.passed(median_us), settled(precision), ALL_LAYERS, kind="cuda"
    )

    assert ("below the measured floor" in {one.kind for one in found}) == doubted
