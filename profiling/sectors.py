"""How many bytes of the 32 in a sector accesses use, bulk and asynchronous copies told apart.

Which instruction wastes them, and what that costs, is said by `memory_rules`.
"""

from refine_agent.profiling.evidence import KernelReport

LOAD_BYTES = "smsp__sass_average_data_bytes_per_sector_mem_global_op_ld.ratio"
STORE_BYTES = "smsp__sass_average_data_bytes_per_sector_mem_global_op_st.ratio"
_BULK_STORES = ("UBLKCP", "UTMASTG", "UTMAREDG", "UBLKRED")


# A block that stores one word uses 4 of 32 bytes, and nothing is lost by it.
_LEAST_SHARE = 0.01


def load_bytes_per_sector(report: KernelReport) -> float | None:
    """Return the bytes used of each sector that loads ask for, cp.async's (LDGSTS) included.

    None where hardly any sector is asked for by loads.
    """
    counted = report.counters.get(LOAD_BYTES)
    if _negligible(report, "LD"):
        return None
    loads = [one for one in report.instructions if one.sectors and one.opcode.startswith("LD")]
    if not any(one.opcode.startswith("LDGSTS") for one in loads):
        return counted
    return 32 * sum(one.sectors_ideal for one in loads) / sum(one.sectors for one in loads)


def store_bytes_per_sector(report: KernelReport) -> float | None:
    """Return the bytes used of each sector that stores write; None where they write next to none.

    A word per block, or a counter beside bulk copies (TMA), would read as uncoalesced stores.
    """
    if _negligible(report, "ST"):
        return None
    counted, written = (
        report.counters.get(STORE_BYTES),
        report.counters.get("dram__bytes_write.sum"),
    )
    if not any(opcode.startswith(_BULK_STORES) for opcode in report.opcodes):
        return counted
    plain = 32 * sum(one.sectors for one in report.instructions if one.opcode.startswith("ST"))
    return None if written and plain < written / 20 else counted


def _negligible(report: KernelReport, opcode: str) -> bool:
    """Tell whether accesses of this kind touch less than a hundredth of all sectors."""
    every = sum(one.sectors for one in report.instructions)
    mine = sum(one.sectors for one in report.instructions if one.opcode.startswith(opcode))
    return mine < _LEAST_SHARE * every
