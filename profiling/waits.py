"""Which earlier instruction a stalled one waits for, read off the disassembly.

A sampled program counter says where a warp stood, not what held it up; this module finds the load,
the shared-memory access or the barrier behind it. Counting samples is left to `ncu_rep`.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

import msgspec

# Whose results each kind of scoreboard guards: L1TEX (global, local, texture memory), and the MIO
# (shared memory, shuffles, special functions, conversions). Nsight Compute, Kernel Profiling Guide,
# warp stall reasons. Doubles are waited for on either, by architecture.
_DOUBLES = r"DADD|DMUL|DFMA|DSETP|DMNMX"
_GUARDED = {
    "long_scoreboard": re.compile(rf"(?:LD[GL]?|LDGSTS|ATOMG?|TEX|TLD4?|SULD|{_DOUBLES})\b"),
    "short_scoreboard": re.compile(
        rf"(?:LD[SC]|LDSM|ATOMS|SHFL|MUFU|F2F|F2I|I2F|FRND|S2U?R|POPC|FLO|{_DOUBLES})\b"
    ),
}
_SETS = re.compile(r"^(?:@!?U?P\d+\s+)?([A-Z][A-Z0-9_.]*)\s+(?:(?:P\d+|PT),\s*)*(U?R)(\d+)")
_REGISTERS = re.compile(r"\b(U?R)(\d+)(\.64)?")
_WRITES_MEMORY = re.compile(r"^(?:@!?U?P\d+\s+)?(?:ST|RED|ATOM)")
_BRANCH = re.compile(r"^(?:@!?U?P\d+\s+)?BRA\b.*?0x([0-9a-f]+)")
_BARRIER = re.compile(r"^(?:@!?U?P\d+\s+)?(?:BAR\b|UCGABAR_)")
# A cluster's barrier is two instructions, and warps wait at the second one itself.
_CLUSTER_WAIT = re.compile(r"^(?:@!?U?P\d+\s+)?UCGABAR_WAIT\b")
_CLUSTER_ARRIVAL = re.compile(r"^(?:@!?U?P\d+\s+)?UCGABAR_ARV\b")
_BLOCK_BARRIER = re.compile(r"^(?:@!?U?P\d+\s+)?BAR\b")
_COPIES_DONE = re.compile(r"^(?:LDG)?DEPBAR\b")
# An acquire drops the L1's lines once its load is back: the wait is the load's, though no register
# says so (`ld.acquire` is LD.STRONG and CCTL.IVALL).
_ACQUIRES = re.compile(r"^(?:@!?U?P\d+\s+)?CCTL\.IVALL")
_STEPS_TO_ACQUIRE = 4
_COPY = re.compile(r"^(?:@!?U?P\d+\s+)?LDGSTS\b")
# A wait for a bulk copy (TMA) or for the other side of a pipeline: the predicate that try_wait sets
# is guarded by the same scoreboard as a load's result.
_MBARRIER = re.compile(r"^(?:@!?U?P\d+\s+)?SYNCS\.\S*TRYWAIT")
_TESTS_AFTER = 16
_FURTHEST = 400


class Loop(msgspec.Struct, frozen=True, kw_only=True):
    """A backward branch: indices of its first instruction and of the branch itself."""

    first: int
    last: int


def loops(code: Sequence[str], pcs: Sequence[int]) -> tuple[Loop, ...]:
    """Return the loops of a kernel, innermost first."""
    index = {pc: at for at, pc in enumerate(pcs)}
    found = []
    for at, sass in enumerate(code):
        branch = _BRANCH.match(sass)
        first = index.get(int(branch.group(1), 16)) if branch else None
        # A branch to itself closes every kernel and repeats nothing.
        if first is not None and first < at:
            found.append(Loop(first=first, last=at))
    return tuple(sorted(found, key=lambda loop: loop.last - loop.first))


def producer(code: Sequence[str], at: int, why: str, repeated: Sequence[Loop] = ()) -> int | None:
    """Return the index of the instruction whose completion `code[at]` waits for, or None.

    `why` is the stall reason. Above the stalled instruction is searched first; inside a loop also
    what the iteration before left behind, as in software pipelines.
    """
    if why == "barrier":
        met = _CLUSTER_ARRIVAL if _CLUSTER_WAIT.match(code[at]) else _BLOCK_BARRIER
        return next((one for one in _before(at, repeated) if met.match(code[one])), None)
    if _COPIES_DONE.match(code[at]):
        return next((one for one in _before(at, repeated) if _COPY.match(code[one])), None)
    guarded = _GUARDED.get(why)
    if guarded is None:
        return None
    if _ACQUIRES.match(code[at]):
        near = range(at - 1, max(-1, at - 1 - _STEPS_TO_ACQUIRE), -1)
        return next((one for one in near if _SHARED_WORD.match(code[one])), None)
    loaded = _loaded(code, at, guarded, repeated)
    return _mbarrier(code, at, repeated) if loaded is None and why == "long_scoreboard" else loaded


def _mbarrier(code: Sequence[str], at: int, repeated: Sequence[Loop]) -> int | None:
    near = _before(at, repeated)[:_TESTS_AFTER]
    return next((one for one in near if _MBARRIER.match(code[one])), None)


def _loaded(
    code: Sequence[str], at: int, guarded: re.Pattern[str], repeated: Sequence[Loop]
) -> int | None:
    wanted = _read(code[at])
    if not wanted:
        return None
    for earlier in _before(at, repeated):
        written = _written(code[earlier])
        if written.registers & wanted and guarded.match(written.opcode):
            return earlier
    return None


_LOAD = re.compile(r"^(?:@!?U?P\d+\s+)?(?:LD|LDG|ATOMG?)(?:\.\S*)?\s")
# Address arithmetic between two loads of a chain is a handful of instructions.
_MOST_STEPS = 48


def follows_a_load(code: Sequence[str], at: int, repeated: Sequence[Loop] = ()) -> bool:
    """Tell whether the address that `code[at]` loads from was computed from a loaded value.

    Such loads cannot be made wider or start earlier by themselves: each waits for the one before.
    """
    todo, seen = [(at, _read(code[at]))], {at}
    while todo and len(seen) < _MOST_STEPS:
        user, wanted = todo.pop()
        for register in sorted(wanted):
            writer = _writer(code, user, register, repeated)
            if writer is not None and _LOAD.match(code[writer]):
                return True
            if writer is None or writer in seen:
                continue
            seen.add(writer)
            todo.append((writer, _read(code[writer])))
    return False


# Loads that go past the L1 to where other blocks write: volatile, acquire, cuda::atomic, __ldcg.
_SHARED_WORD = re.compile(r"^(?:@!?U?P\d+\s+)?LDG?\.\S*STRONG\.(?:GPU|SYS)")
_LONGEST_SPIN = 64


def polls(code: Sequence[str], at: int, repeated: Sequence[Loop] = ()) -> bool:
    """Tell whether `code[at]` reads one address again and again, as a wait for other blocks does.

    A loop that walks changes the address in every round; one that polls does not. One that writes
    or meets others at a barrier in between exchanges data, and is no wait by itself.
    """
    loop = next((loop for loop in repeated if loop.first <= at <= loop.last), None)
    if loop is None or loop.last - loop.first > _LONGEST_SPIN or not _SHARED_WORD.match(code[at]):
        return False
    address, rounds = _read(code[at]), code[loop.first : loop.last + 1]
    if any(_WRITES_MEMORY.match(one) or _BARRIER.match(one) for one in rounds):
        return False
    return not any(address & _written(one).registers for one in rounds)


def _writer(code: Sequence[str], at: int, register: str, repeated: Sequence[Loop]) -> int | None:
    for earlier in _before(at, repeated):
        if register in _written(code[earlier]).registers:
            return earlier
    return None


def _before(at: int, repeated: Sequence[Loop]) -> list[int]:
    """Return the indices to search, nearest first: backwards, then around the innermost loop."""
    around = next((loop for loop in repeated if loop.first <= at <= loop.last), None)
    back = list(range(at - 1, max(-1, at - _FURTHEST), -1))
    if around is None:
        return back
    inside = [index for index in back if index >= around.first]
    outside = [index for index in back if index < around.first]
    return [*inside, *range(around.last, at, -1), *outside]


# A kernel's instructions are asked for again and again, by each that looks for its producers.
@lru_cache(maxsize=1 << 14)
def _read(sass: str) -> frozenset[str]:
    """Return the registers an instruction reads: all but its first operand, all for a store."""
    operands = sass.split(",", 1)
    text = sass if _WRITES_MEMORY.match(sass) else (operands[1] if len(operands) > 1 else "")
    found: set[str] = set()
    for file, number, wide in _REGISTERS.findall(text):
        found.update(f"{file}{int(number) + more}" for more in range(2 if wide else 1))
    return frozenset(found)


class _Written(msgspec.Struct, frozen=True):
    opcode: str = ""
    registers: frozenset[str] = frozenset()


_NOTHING = _Written()


@lru_cache(maxsize=1 << 14)
def _written(sass: str) -> _Written:
    """Return the registers an instruction sets, and by which opcode."""
    match = _SETS.match(sass)
    if match is None:
        return _NOTHING
    opcode, file, first = match.group(1), match.group(2), int(match.group(3))
    wide = (
        ".64" in opcode
        or ".WIDE" in opcode
        or opcode.startswith(("DADD", "DMUL", "DFMA", "F2F.F64"))
        or opcode == "CS2R"
    )
    count = 4 if ".128" in opcode else 2 if wide else 1
    return _Written(opcode, frozenset(f"{file}{first + more}" for more in range(count)))
