"""The call chain behind every instruction, from the line tables that a report's cubins carry.

Nsight Compute names the innermost line only, which for `__ldcg` or `atomicAdd` is one of a header;
which line of the chain is to blame is left to `ncu_rep`.
"""

import bisect
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

# A report comes from where candidates run: what it says of itself is bounded, and any nonsense in
# it means only that there is no table.
MOST_CUBINS = 256
MOST_SECTIONS = 10_000
MOST_ROWS = 400_000
MOST_DEPTH = 16
_MAGIC = b"\x7fELF\x02\x01"
# DWARF 2, chapter 6.2, and NVIDIA's own extended opcode for inlined code: LEB128 numbers of the
# row that holds the call (from 1, in this sequence; 0 is none) and of the callee's name. PTX ISA,
# `.loc ... function_name ..., inlined_at`.
_EXTENDED, _COPY, _ADVANCE_PC, _ADVANCE_LINE, _SET_FILE = 0, 1, 2, 3, 4
_CONST_ADD_PC, _FIXED_ADVANCE_PC = 8, 9
_END_SEQUENCE, _SET_ADDRESS, _INLINED_CALL = 1, 2, 0x90


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a call chain; `path` is what the compiler was given, not yet safe to print."""

    path: str
    line: int


class Chains(msgspec.Struct, frozen=True, kw_only=True):
    """The call chains of one function: `frames[i]`, innermost first, from offset `starts[i]` on."""

    starts: tuple[int, ...]
    frames: tuple[tuple[Frame, ...], ...]

    def at(self, offset: int) -> tuple[Frame, ...]:
        """Return the chain of the instruction at this offset of its function."""
        found = bisect.bisect_right(self.starts, offset) - 1
        return self.frames[found] if found >= 0 else ()


def chains(report: bytes) -> dict[str, Chains]:
    """Return the chains of every function in a report, by mangled name; a name's first counts."""
    found: dict[str, Chains] = {}
    at = report.find(_MAGIC)
    for _ in range(MOST_CUBINS):
        if at < 0:
            break
        try:
            for name, known in _of_cubin(memoryview(report)[at:]):
                found.setdefault(name, known)
        except (struct.error, IndexError, ValueError, KeyError, OverflowError):
            pass  # no cubin, or one whose table cannot be read: lines are told without chains
        at = report.find(_MAGIC, at + 1)
    return found


class _Row(msgspec.Struct, frozen=True):
    address: int
    file: int
    line: int
    called_at: int


def _of_cubin(elf: memoryview) -> Iterator[tuple[str, Chains]]:
    sections = _sections(elf)
    if ".debug_line" not in sections or ".rela.debug_line" not in sections:
        return
    functions = _relocated(sections)
    table = _Reader(bytes(sections[".debug_line"]))
    while table.at < len(table.data):
        yield from _of_unit(table, functions)


def _sections(elf: memoryview) -> dict[str, memoryview]:
    """Return a cubin's sections by name (System V ABI, chapter 4; 64-bit little endian)."""
    (table,) = struct.unpack_from("<Q", elf, 0x28)
    count, names_at = struct.unpack_from("<HH", elf, 0x3C)
    headers = [
        struct.unpack_from("<IIQQQQ", elf, table + 64 * index)
        for index in range(min(count, MOST_SECTIONS))
    ]
    names = bytes(elf[headers[names_at][4] :][: headers[names_at][5]])
    return {
        names[name : names.index(b"\0", name)].decode(): elf[at : at + size]
        for name, _, _, _, at, size in headers
    }


def _relocated(sections: dict[str, memoryview]) -> dict[int, str]:
    """Return which function each address in the line table belongs to, by the operand's place."""
    symbols, names = sections[".symtab"], bytes(sections[".strtab"])
    found = {}
    for at, info, _ in struct.iter_unpack("<QQq", sections[".rela.debug_line"]):
        (name,) = struct.unpack_from("<I", symbols, 24 * (info >> 32))
        found[at] = names[name : names.index(b"\0", name)].decode()
    return found


@dataclass
class _Reader:
    """Bytes that are read from front to back."""

    data: bytes
    at: int = 0

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def unpack(self, form: str) -> int:
        (value,) = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return int(value)

    def number(self, *, signed: bool = False) -> int:
        value = shift = 0
        while shift < 64:  # noqa: PLR2004  (bits of the largest number there is any use for)
            one = self.byte()
            value |= (one & 0x7F) << shift
            shift += 7
            if one < 0x80:  # noqa: PLR2004  (LEB128: the top bit says that more follow)
                return value - (1 << shift) if signed and one & 0x40 else value
        raise ValueError("a number of more than 64 bits")

    def text(self) -> str:
        end = self.data.index(b"\0", self.at)
        found = self.data[self.at : end].decode(errors="replace")
        self.at = end + 1
        return found


@dataclass
class _Header:
    """What the program of one unit counts in, and its files."""

    step: int
    line_base: int
    line_range: int
    opcode_base: int
    lengths: list[int]
    files: list[str]


@dataclass
class _State:
    """The registers of a line program, and the rows of the sequence it is in."""

    address: int = 0
    file: int = 1
    line: int = 1
    called_at: int = 0
    function: str | None = None
    rows: list["_Row"] = field(default_factory=list)

    def row(self) -> None:
        if len(self.rows) >= MOST_ROWS:
            raise ValueError("more rows than any kernel has")
        self.rows.append(_Row(self.address, self.file, self.line, self.called_at))


def _of_unit(table: _Reader, functions: dict[int, str]) -> Iterator[tuple[str, Chains]]:
    length = table.unpack("<I")
    end = table.at + length
    header = _header(table)
    state = _State()
    while table.at < end:
        if _step(table, header, state, functions):
            if state.function is not None and state.rows:
                yield state.function, _chained(state.rows, header.files)
            state = _State()
    table.at = end


def _header(table: _Reader) -> _Header:
    version = table.unpack("<H")
    length = table.unpack("<I")
    program = table.at + length
    step = table.byte()
    if version not in {2, 3}:
        raise ValueError(f"line tables of version {version} are not known here")
    table.byte()  # whether rows begin statements by default
    line_base, line_range = table.unpack("<b"), table.byte()
    opcode_base = table.byte()
    lengths = [table.byte() for _ in range(opcode_base - 1)]
    folders = list(iter(table.text, ""))
    files = []
    for name in iter(table.text, ""):
        folder = table.number()
        table.number(), table.number()  # time and size
        files.append(f"{folders[folder - 1]}/{name}" if folder else name)
    table.at = program
    return _Header(step, line_base, line_range, opcode_base, lengths, files)


def _step(table: _Reader, header: _Header, state: _State, functions: dict[int, str]) -> bool:
    """Run one instruction of a line program; tell whether it ended a sequence."""
    opcode = table.byte()
    if opcode >= header.opcode_base:
        steps, lines = divmod(opcode - header.opcode_base, header.line_range)
        state.address += steps * header.step
        state.line += header.line_base + lines
        state.row()
    elif opcode == _EXTENDED:
        return _extended(table, state, functions)
    elif opcode == _COPY:
        state.row()
    elif opcode == _ADVANCE_PC:
        state.address += table.number() * header.step
    elif opcode == _ADVANCE_LINE:
        state.line += table.number(signed=True)
    elif opcode == _SET_FILE:
        state.file = table.number()
    elif opcode == _CONST_ADD_PC:
        state.address += (255 - header.opcode_base) // header.line_range * header.step
    elif opcode == _FIXED_ADVANCE_PC:
        state.address += table.unpack("<H")
    else:
        for _ in range(header.lengths[opcode - 1]):
            table.number()
    return False


def _extended(table: _Reader, state: _State, functions: dict[int, str]) -> bool:
    length = table.number()
    end = table.at + length
    opcode = table.byte()
    if opcode == _SET_ADDRESS:
        state.function = functions.get(table.at)
        state.address = table.unpack("<Q")
    elif opcode == _INLINED_CALL:
        state.called_at = table.number()
    table.at = end
    return opcode == _END_SEQUENCE


def _chained(rows: Sequence[_Row], files: Sequence[str]) -> Chains:
    """Return the chain of each row; of several rows at one address the last one counts."""
    found: dict[int, tuple[Frame, ...]] = {}
    for row in rows:
        found[row.address] = tuple(_frames(row, rows, files))
    starts = sorted(found)
    return Chains(starts=tuple(starts), frames=tuple(found[start] for start in starts))


def _frames(row: _Row, rows: Sequence[_Row], files: Sequence[str]) -> Iterator[Frame]:
    for _ in range(MOST_DEPTH):
        yield Frame(path=files[row.file - 1], line=row.line)
        if not row.called_at:
            return
        row = rows[row.called_at - 1]
