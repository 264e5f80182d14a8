"""How many bytes of the 32 in a sector accesses use, bulk and asynchronous copies told apart.

Which instruction wastes them, and what that costs, is said by `memory_rules`.
"""

from refine_agent.profiling.evidence import KernelReport

LOAD_BYTES = "smsp__sass_average_data_bytes_per_sector_mem_global_op_ld.ratio"
STORE_BYTES = "smsp__sass_average_data_bytes_per_sector_mem_global_op_st.ratio"
_BULK_STORES = ("UBLKCP", "UTMASTG", "UTMAREDG", "UBLKRED")


def load_bytes_per_sector(report: KernelReport) -> float | None:
    """Return the bytes used of each sector that loads ask for, cp.async's (LDGSTS) included."""
    counted = report.counters.get(LOAD_BYTES)
    loads = [one for one in report.instructions if one.sectors and one.opcode.startswith("LD")]
    if not any(one.opcode.startswith("LDGSTS") for one in loads):
        return counted
    return 32 * sum(one.sectors_ideal for one in loads) / sum(one.sectors for one in loads)


def store_bytes_per_sector(report: KernelReport) -> float | None:
    """Return the bytes used of each sector that stores write; None where bulk copies write it all.

    A counter or two beside bulk copies (TMA) would read as uncoalesced stores.
    """
    counted, written = (
        report.counters.get(STORE_BYTES),
        report.counters.get("dram__bytes_write.sum"),
    )
    if not any(opcode.startswith(_BULK_STORES) for opcode in report.opcodes):
        return counted
    plain = 32 * sum(one.sectors for one in report.instructions if one.opcode.startswith("ST"))
    return None if written and plain < written / 20 else counted
