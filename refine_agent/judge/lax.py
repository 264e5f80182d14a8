"""What laxer harnesses accept: the checks that stand in for a layer which a test has left out.

It owns KernelBench's ``allclose``, a matched ratio and NaN as a wildcard, so that a test can show
what each of our own layers is for; no verdict outside tests is ever decided here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from refine_agent.judge import tolerance

if TYPE_CHECKING:
    from refine_agent.judge.layers import Layers
    from refine_agent.judge.tolerance import Finding, Limits

# KernelBench's (v0) and SOL-ExecBench's defaults.
ABSOLUTE = RELATIVE = 1e-2
MATCHED = 0.99


def compare(got: torch.Tensor, exact: torch.Tensor, allowed: Limits, layers: Layers) -> Finding:
    """Compare as ``tolerance`` does, less whatever layer is left out."""
    if not got.is_floating_point():
        return tolerance.compare(got, exact, allowed)
    if not layers.nan:
        got = torch.where(got.isnan(), exact.to(got.dtype), got)
    if layers.norms and layers.rows:
        return tolerance.compare(got, exact, allowed)
    close = torch.isclose(got.double(), exact.double(), rtol=RELATIVE, atol=ABSOLUTE)
    matched = float(close.double().mean()) if close.numel() else 1.0
    wanted = 1.0 if layers.rows else MATCHED
    reason = None if matched >= wanted else f"{matched:.2%} of the elements are close"
    return tolerance.Finding(error=1 - matched, allowed=1 - wanted, reason=reason)
