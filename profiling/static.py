"""What compilers say without running anything: resources, opcodes, occupancy, vector loops.

It parses their text; running them belongs to the builder.
"""

import re
from collections.abc import Sequence

import msgspec

from refine_agent.profiling import plain
from refine_agent.profiling.evidence import Compiled, Loop, Opcodes, Place, Static

MOST_TEXT = 32 << 20


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one SM holds (CUDA C++ Programming Guide, technical specifications)."""

    warps: int
    blocks: int
    shared_bytes: int
    registers: int = 65536


LIMITS = {
    "sm_80": Limits(warps=64, blocks=32, shared_bytes=164 << 10),
    "sm_86": Limits(warps=48, blocks=16, shared_bytes=100 << 10),
    "sm_89": Limits(warps=48, blocks=24, shared_bytes=100 << 10),
    "sm_90": Limits(warps=64, blocks=32, shared_bytes=228 << 10),
    "sm_100": Limits(warps=64, blocks=32, shared_bytes=228 << 10),
    "sm_120": Limits(warps=48, blocks=24, shared_bytes=100 << 10),
}
WARP = 32
# Registers go to warps in units of 256, warps come in fours (one per scheduler), the driver keeps
# 1 KB of shared memory per block, shared memory goes in units of 128 bytes: CUDA's own occupancy
# calculator; agrees with Nsight Compute's limiter on sm_90.
REGISTER_UNIT = 256
SCHEDULERS = 4
DRIVER_SHARED = 1024
SHARED_UNIT = 128


class Occupancy(msgspec.Struct, frozen=True, kw_only=True):
    """How many warps of a kernel an SM can hold, and what stops it from holding more."""

    blocks: int
    warps: int
    most_warps: int
    limited_by: tuple[str, ...]

    @property
    def pct(self) -> float:
        """Return resident warps in percent of what an SM of this architecture can hold."""
        return 100 * self.warps / self.most_warps


def occupancy(
    arch: str, *, threads: int, registers: int, shared_bytes: int = 0
) -> Occupancy | None:
    """Return the theoretical occupancy of a launch, or None for an architecture not in the table.

    `threads` per block, `registers` per thread, `shared_bytes` per block, static plus dynamic.
    """
    limits = LIMITS.get(arch)
    if limits is None or threads < 1:
        return None
    warps = -(-threads // WARP)
    fits = {"warps": limits.warps // warps, "blocks": limits.blocks}
    if registers:
        per_warp = _round_up(registers * WARP, REGISTER_UNIT)
        fits["registers"] = limits.registers // per_warp // SCHEDULERS * SCHEDULERS // warps
    taken = _round_up(shared_bytes + DRIVER_SHARED, SHARED_UNIT)
    fits["shared memory"] = limits.shared_bytes // taken
    blocks = min(fits.values())
    return Occupancy(
        blocks=blocks,
        warps=blocks * warps,
        most_warps=limits.warps,
        limited_by=tuple(what for what, count in fits.items() if count == blocks),
    )


def registers_for(arch: str, *, threads: int, registers: int, shared_bytes: int = 0) -> int | None:
    """Return the most registers per thread with which one more block fits, or None."""
    now = occupancy(arch, threads=threads, registers=registers, shared_bytes=shared_bytes)
    for fewer in range(registers - 1, 15, -1):
        then = occupancy(arch, threads=threads, registers=fewer, shared_bytes=shared_bytes)
        if now and then and then.warps > now.warps:
            return fewer
    return None


def _round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit


_ENTRY = re.compile(r"Compiling entry function '([^']+)' for '(sm_\d+)\w*'")
_STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_REGISTERS = re.compile(r"Used (\d+) registers")
_SHARED = re.compile(r"(\d+) bytes smem")
_BARRIERS = re.compile(r"used (\d+) barriers")


def ptxas(text: str) -> tuple[Compiled, ...]:
    """Return the kernels in the output of `nvcc -Xptxas -v`, in its order, names demangled."""
    found: list[Compiled] = []
    name, arch, stack = "", "", (0, 0, 0)
    for line in text[:MOST_TEXT].splitlines():
        if entry := _ENTRY.search(line):
            name, arch, stack = demangle(entry.group(1)), entry.group(2), (0, 0, 0)
        elif frame := _STACK.search(line):
            stack = (int(frame.group(1)), int(frame.group(2)), int(frame.group(3)))
        elif name and (used := _REGISTERS.search(line)):
            found.append(
                Compiled(
                    name=name,
                    arch=arch,
                    registers=int(used.group(1)),
                    stack_bytes=stack[0],
                    spill_store_bytes=stack[1],
                    spill_load_bytes=stack[2],
                    shared_bytes=_number(_SHARED, line),
                    barriers=_number(_BARRIERS, line),
                )
            )
            name = ""
    return tuple(found)


def _number(pattern: re.Pattern[str], line: str) -> int:
    found = pattern.search(line)
    return int(found.group(1)) if found else 0


_FUNCTION = re.compile(r"^\s*(?:Function : |\.section\s+\.text\.|\.text\.)([\w.$]+)")
_INSTRUCTION = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P[T\d]+\s+)?([A-Z][A-Z0-9_.]*)")


def sass(text: str) -> tuple[Opcodes, ...]:
    """Return opcode counts of each kernel in the output of `cuobjdump -sass` or `nvdisasm`."""
    counts: dict[str, dict[str, int]] = {}
    current: dict[str, int] = {}
    for line in text[:MOST_TEXT].splitlines():
        if function := _FUNCTION.match(line):
            current = counts.setdefault(demangle(function.group(1).rstrip(",")), {})
        elif instruction := _INSTRUCTION.search(line):
            opcode = instruction.group(1)
            current[opcode] = current.get(opcode, 0) + 1
    return tuple(Opcodes(name=name, counts=found) for name, found in counts.items() if found)


def demangle(symbol: str) -> str:
    """Return the function name inside an Itanium-mangled symbol, safe to print; else the symbol.

    Only the name is wanted: the last length-prefixed part before the template arguments.
    """
    if not symbol.startswith("_Z"):
        return plain.name(symbol)
    rest = symbol[2:].removeprefix("N")
    name = symbol
    while found := re.match(r"(\d+)", rest):
        length = int(found.group(1))
        rest = rest[found.end() :]
        name, rest = rest[:length], rest[length:]
    return plain.name(name.replace("_GLOBAL__N_", "anonymous"))


_VECTORISED = re.compile(
    r"^(.+?):(\d+):\d+: optimized: (?:loop|basic block part) vectorized using (\d+) byte"
)
_MISSED = re.compile(r"^(.+?):(\d+):\d+: missed:\s*(.*)")
_GAVE_UP = "couldn't vectorize loop"
# GCC's own phrases, and what an author can do about each.
REASONS = (
    ("complicated access pattern", "the access pattern is too complicated"),
    ("data ref analysis failed", "an access cannot be analysed"),
    # GCC 12 names the element type of its last, narrowest try, not what defeated the wider ones.
    ("no vectype", "iterations depend on each other or accesses are scattered"),
    ("control flow in loop", "it branches inside"),
    ("number of iterations cannot be computed", "the number of iterations is unknown at entry"),
    ("number of iterations", "the number of iterations is unknown at entry"),
    ("unsupported use in stmt", "a value is carried from one iteration to the next"),
    ("relevant stmt not supported", "an operation has no vector form"),
    ("function calls or data references that cannot be analyzed", "it calls a function"),
    ("statement clobbers memory", "it calls a function that may write memory"),
    ("possible dependence", "its pointers may overlap (__restrict__ would say they do not)"),
    ("possible alias", "its pointers may overlap (__restrict__ would say they do not)"),
    ("bad data dependence", "one iteration depends on another"),
    ("multiple nested loops", "it holds several loops"),
    ("nested loop", "it holds another loop"),
    ("reduction", "a sum needs reordering (-ffast-math or several accumulators)"),
    ("not profitable", "the compiler's cost model saw no gain"),
    ("vectorization is not profitable", "the compiler's cost model saw no gain"),
)


def vectorisation(text: str, *, only: str | None = None, code: str = "") -> tuple[Loop, ...]:
    """Return loops that `-fopt-info-vec` and `-fopt-info-vec-missed` speak of, by line.

    `only` keeps one source file (its base name), so that headers do not drown the candidate; `code`
    is that file's text, which tells loops that hold others. A loop counts as vectorised if any of
    its copies was.
    """
    done: dict[Place, int] = {}
    missed: dict[Place, str | None] = {}
    current: Place | None = None
    for line in text[:MOST_TEXT].splitlines():
        if hit := _VECTORISED.match(line):
            done[_place(hit)] = max(int(hit.group(3)), done.get(_place(hit), 0))
            current = None
        elif (hit := _MISSED.match(line)) and _GAVE_UP in hit.group(3):
            current = _place(hit)
            missed.setdefault(current, None)
        elif hit and current is not None:
            # The reason follows the loop, often under the line of an inlined header.
            missed[current] = missed[current] or _reason(hit.group(3))
    loops = [Loop(place=place, vector_bytes=width) for place, width in done.items()]
    loops += [
        Loop(place=place, reason=why or "no reason given")
        for place, why in missed.items()
        if place not in done
    ]
    kept = [loop for loop in loops if only is None or loop.place.file == plain.file_name(only)]
    ranked = sorted(kept, key=lambda loop: (loop.place.file, loop.place.line))
    lines, reordered = code.splitlines(), bool(_REORDERED.search(text[:MOST_FLAGS]))
    return tuple(
        msgspec.structs.replace(
            loop,
            innermost=_is_innermost(loop, ranked, lines),
            reason=_called(loop, lines) or loop.reason,
            in_order=bool(loop.vector_bytes) and not reordered and _adds_floats(loop, lines),
        )
        for loop in (_as_written(loop, lines) for loop in ranked)
    )


def _as_written(loop: Loop, code: Sequence[str]) -> Loop:
    """Return a loop that its author wrote in intrinsics as one of such vectors."""
    if loop.vector_bytes or not 0 < loop.place.line <= len(code):
        return loop
    lines = _lines_of(code, loop.place.line)
    body = "\n".join(code[lines.start - 1 : lines.stop - 1])
    widths = [int(bits or 128) // 8 for bits in _INTRINSIC.findall(body)]
    if not widths:
        return loop
    return msgspec.structs.replace(loop, vector_bytes=max(widths), reason=None, by_hand=True)


# Of x86: _mm_add_ps, _mm256_add_ps, _mm512_add_ps. Scalar ones (_mm_add_ss), hints and fences are
# none.
_INTRINSIC = re.compile(r"\b_mm(256|512)?_\w*(?:_p[sdh]|_epi\d+|_epu\d+|_si\d+|_ph)\s*\(")
_STREAMING = re.compile(r"\b_mm(?:256|512)?_stream_(?!load)\w+\s*\(|__builtin_nontemporal_store")
MOST_FLAGS = 4096
_FLAGS = re.compile(r"\Aflags: ([^\n]{0,1000})")
_REORDERED = re.compile(r"\Aflags: [^\n]*(?:-ffast-math|-Ofast|-fassociative-math)")
_ADDS = re.compile(r"(?<![\w.\])>])(\w+)\s*\+=")
_SIMD = re.compile(r"#\s*pragma\s+omp\b.*\bsimd\b.*\breduction\b")


# GCC speaks of access patterns and types where a loop calls what has no vector form.
_VAGUE = {"the access pattern is too complicated", REASONS[2][1], "no reason given"}
_SCALAR_MATH = re.compile(
    r"(?<![\w.>])(?:std\s*::\s*)?((?:exp|exp2|expm1|log|log1p|log2|log10|pow|sin|cos|tan|sinh|cosh"
    r"|tanh|asin|acos|atan|atan2|erf|erfc|cbrt|tgamma|lgamma|fmod)f?)\s*\("
)


# GCC names the first line of a loop's body where the loop was outlined (OpenMP, lambdas).
_HEADER_ABOVE = 3


def _lines_of(code: Sequence[str], line: int) -> range:
    """Return the lines of the loop that stands on `line`, or whose header is just above."""
    for first in range(line, max(0, line - _HEADER_ABOVE - 1), -1):
        last = _last_line(code, first)
        if _HEADER.search(code[first - 1].split("//")[0]) and last >= line:
            return range(first, last + 1)
    return range(line, _last_line(code, line) + 1)


def _called(loop: Loop, code: Sequence[str]) -> str | None:
    """Return the call of libm that keeps a loop scalar, where GCC's own reason is vague."""
    if loop.reason not in _VAGUE or not 0 < loop.place.line <= len(code):
        return None
    lines = _lines_of(code, loop.place.line)
    called = _SCALAR_MATH.search("\n".join(code[lines.start - 1 : lines.stop - 1]))
    if called is None:
        return None
    return (
        f"it calls {called.group(1)}, which has vectors only under -ffast-math or in "
        "at::vec::Vectorized"
    )


def _adds_floats(loop: Loop, code: Sequence[str]) -> bool:
    """Tell whether a loop adds up floats into one variable, which IEEE rules keep in order.

    GCC calls such a loop vectorised (a fold-left reduction), and says of no flag that it would not.
    """
    first = loop.place.line
    if not 0 < first <= len(code) or (first > 1 and _SIMD.search(code[first - 2])):
        return False
    lines = _lines_of(code, first)
    before = "\n".join(code[: lines.start - 1])
    body = "\n".join(code[lines.start - 1 : lines.stop - 1])
    # What the body declares itself starts anew for every element, and is no sum over them.
    return any(
        _declares(name, before) and not _declares(name, body) for name in _ADDS.findall(body)
    )


def _declares(name: str, code: str) -> bool:
    return bool(re.search(rf"\b(?:float|double|auto)\b[^;(){{}}]*\b{name}\b", code))


_HOLDS_ANOTHER = {"it holds another loop", "it holds several loops"}
_HEADER = re.compile(r"\b(?:for|while)\b")


def _is_innermost(loop: Loop, every: Sequence[Loop], code: Sequence[str]) -> bool:
    if loop.reason in _HOLDS_ANOTHER:
        return False
    first, last = loop.place.line, _last_line(code, loop.place.line)
    return not any(
        first < other.place.line <= last for other in every if other.place.file == loop.place.file
    )


def _last_line(code: Sequence[str], first: int) -> int:
    """Return the line on which the loop that starts on `first` ends: its block or statement."""
    depth, inside_block = 0, False
    for number, line in enumerate(code[first - 1 :], first):
        text = line.split("//")[0]
        if number == first and (header := _HEADER.search(text)):
            text = text[header.start() :]
        for letter in text:
            depth += (letter in "({") - (letter in ")}")
            inside_block = inside_block or letter == "{"
            if depth == 0 and letter == ("}" if inside_block else ";"):
                return number
    return first


def _place(hit: re.Match[str]) -> Place:
    return Place(file=plain.file_name(hit.group(1)), line=int(hit.group(2)))


def _reason(words: str) -> str | None:
    for phrase, meaning in REASONS:
        if phrase in words:
            return meaning
    return None


def report(  # noqa: PLR0913  (each is one text that a compiler or the candidate wrote)
    *,
    ptxas_text: str = "",
    sass_text: str = "",
    vector_text: str = "",
    threads_per_block: int | None = None,
    source: str | None = None,
    source_text: str = "",
) -> Static:
    """Return all compiler facts of one build.

    `source` is the candidate's file as the compiler names it, `source_text` what stands in it. A
    `vector_text` whose first line is `flags: ...` says with which flags the file was compiled.
    """
    flags = _FLAGS.match(vector_text)
    return Static(
        kernels=ptxas(ptxas_text),
        opcodes=sass(sass_text),
        loops=vectorisation(vector_text, only=source, code=source_text),
        streams=bool(_STREAMING.search(source_text)),
        threads_per_block=threads_per_block,
        host_flags=None if flags is None else _harmless(flags.group(1)),
    )


def _harmless(flags: str) -> str:
    kept = [word for word in flags.split() if re.fullmatch(r"-[A-Za-z][\w=+,.-]{0,40}", word)]
    return " ".join(kept[:12])
