"""The layers of the defence, each of which can be left out by a test that shows what it is for.

It owns their names; what a layer does is written where it acts. Nothing a user passes and nothing
a candidate can reach carries this record: only a test hands one to the bench.
"""

from __future__ import annotations

import msgspec


class Layers(msgspec.Struct, frozen=True, kw_only=True):
    """What stands between a candidate and a verdict it does not deserve; all of it, by default."""

    clock: bool = True  # a claim of time must agree with the judge's own clock
    fresh: bool = True  # new values, at other addresses, in every call
    every: bool = True  # every timed output is verified, not only the checked ones
    poison: bool = True  # outputs are filled with NaN patterns before each call
    intact: bool = True  # inputs are compared with what was handed in
    cases: bool = True  # several input distributions, mixed among the nominal ones
    norms: bool = True  # limits from the reference's own error (off: KernelBench's 1e-2 allclose)
    rows: bool = True  # limits on each row and element too (off: 99 % of the elements, 1e-2)
    nan: bool = True  # NaN is never a wildcard
    dense: bool = True  # results are brought into dense order within the time of the call
    delivery: bool = True  # inputs are destroyed after the calls, before results are delivered
    shapes: bool = True  # exact number, shape and dtype of the results
    parameters: bool = True  # parameters away from their defaults, handed over by value
    integers: bool = True  # exact integers through linear operators
    nearly: bool = True  # the same storage again, with one element changed
    held: bool = True  # results must survive the next call
    alone: bool = True  # single calls are timed too, so that calls cannot be batched
    stopped: bool = True  # the candidate's processes are stopped while it is not their turn
    idle: bool = True  # the device must be idle, and outputs unchanged, after the answer
    bound: bool = True  # faster than the datasheet allows is impossible
    fitness: bool = True  # impostors must fail before a speedup means anything
    fence: bool = True  # Landlock, own user id, limits
    walls: bool = True  # the compiler runs behind a fence as well
    whose: bool = True  # library calls, fallbacks and compilers inside are named


ALL_LAYERS = Layers()
