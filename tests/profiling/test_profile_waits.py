"""What a stalled instruction waits for: loads, shared memory and barriers, read off real SASS."""

import pytest

from refine_agent.profiling import waits

LONG, SHORT = "long_scoreboard", "short_scoreboard"

# The walk of the zoo's occupancy_shared.cu, as nvcc 13.0 compiles it: each step's address is made
# of what the step before loaded.
WALK = (
    "MOV R8, R3",
    "SHF.L.U32 R6, R0, 0x2, RZ",
    "LOP3.LUT R6, R6, 0x7ffffc, RZ, 0xc0, !PT",
    "IADD3 R6, P0, R6, UR6, RZ",
    "IADD3.X R7, RZ, UR7, RZ, P0, !PT",
    "LDG.E.STRONG.GPU R7, desc[UR4][R6.64]",
    "IADD3 R5, R5, 0x1, RZ",
    "F2I.U32.TRUNC.NTZ R9, R7",
    "STS [R8], R7",
    "IADD3 R0, R0, 0x1000, R9",
    "@P0 BRA 0x10",
    "EXIT",
    "BRA 0xc0",
)
PCS = tuple(range(0, 16 * len(WALK), 16))
LOOPS = waits.loops(WALK, PCS)


@pytest.mark.parametrize(
    ("earlier", "stalled", "why"),
    [
        ("LDG.E.128.CONSTANT R20, desc[UR8][R20.64]", "FADD R9, R23, -R8", LONG),
        ("@P0 LDG.E.64 R4, desc[UR4][R2.64]", "FFMA R1, R5, R6, R7", LONG),
        ("LDL.LU R7, [R1+0x10]", "STG.E desc[UR4][R2.64], R7", LONG),
        ("LDG.E.64 R4, desc[UR4][R2.64]", "LDG.E R1, desc[UR4][R4.64]", LONG),
        ("LDGSTS.E.128 [R3], desc[UR4][R4.64]", "LDGDEPBAR", LONG),
        ("LDS R9, [R3+0x200]", "FADD R1, R9, R2", SHORT),
        ("SHFL.BFLY PT, R5, R4, 0x10, 0x1f", "FADD R4, R4, R5", SHORT),
        ("MUFU.RSQ R3, R2", "FMUL R4, R3, R9", SHORT),
        ("F2F.F64.F32 R6, R12", "DFMA R8, R6, UR6, R2", SHORT),
        ("S2UR UR5, SR_CgaCtaId", "ULEA UR4, UR5, UR4, 0x18", SHORT),
        ("BAR.SYNC.DEFER_BLOCKING 0x0", "LDS R7, [R6+UR4]", "barrier"),
        # ld.acquire.gpu: the invalidation of the L1 waits for the load, and reads no register.
        ("LD.E.STRONG.GPU R0, desc[UR4][R6.64]", "CCTL.IVALL", LONG),
    ],
)
def test_what_a_stalled_instruction_waits_for_is_found(
    earlier: str, stalled: str, why: str
) -> None:
    code = [earlier, "IADD3 R30, R31, R32, RZ", stalled]
    assert waits.producer(code, 2, why) == 0


def test_a_loop_that_reads_one_word_until_it_changes_is_told_from_a_walk() -> None:
    spin = [
        "LD.E.128.STRONG.GPU R4, desc[UR4][R2.64]",
        "ISETP.NE.AND P0, PT, R4, RZ, PT",
        "@!P0 BRA 0x0",
    ]
    assert waits.polls(spin, 0, waits.loops(spin, (0, 16, 32)))
    assert not waits.polls(spin, 0)
    # The zoo's walk loads past the L1 as well, but from another address each time.
    assert "STRONG.GPU" in WALK[5]
    assert not waits.polls(WALK, 5, LOOPS)


TRY = "SYNCS.PHASECHK.TRANS64.TRYWAIT P0, [R2+URZ], R3"


@pytest.mark.parametrize("stalled", ["@!P0 BRA 0x7ff0677a28c0", "S2R R53, SR_CgaCtaId"])
def test_waiting_for_a_bulk_copy_is_waiting_at_its_mbarrier(stalled: str) -> None:
    code = ["LDG.E R20, desc[UR8][R20.64]", TRY, "NOP", stalled]
    assert waits.producer(code, 3, LONG) == 1


def test_a_load_that_is_read_is_waited_for_before_any_mbarrier() -> None:
    code = ["LDG.E R20, desc[UR8][R20.64]", TRY, "FADD R9, R20, -R8"]
    assert waits.producer(code, 2, LONG) == 0


def test_an_instruction_that_reads_nothing_loaded_waits_for_no_load() -> None:
    code = ["LDG.E R20, desc[UR8][R20.64]", "FADD R9, R10, -R8"]
    assert waits.producer(code, 1, LONG) is None


def test_a_wait_for_memory_is_never_blamed_on_a_special_register() -> None:
    code = ["S2R R2, SR_TID.X", "LDG.E R2, desc[UR4][R4.64]", "FADD R3, R2, R2"]
    assert waits.producer(code, 2, LONG) == 1
    assert waits.producer(code[::2], 1, LONG) is None


def test_waiting_for_room_in_a_queue_is_waiting_for_no_instruction() -> None:
    code = ["LDS R9, [R3]", "FADD R1, R9, R2"]
    assert waits.producer(code, 1, "mio_throttle") is None


def test_a_branch_to_itself_is_no_loop() -> None:
    assert [(loop.first, loop.last) for loop in LOOPS] == [(1, 10)]


def test_a_load_of_the_iteration_before_is_found_around_the_loop() -> None:
    code = ["FADD R1, R7, R1", "IADD3 R2, R2, 0x4, RZ", "LDG.E R7, desc[UR4][R2.64]", "BRA 0x0"]
    assert waits.producer(code, 0, LONG, waits.loops(code, (0, 16, 32, 48))) == 2
    assert waits.producer(code, 0, LONG) is None


def test_a_chain_of_loads_is_told_from_loads_that_can_start_together() -> None:
    assert waits.follows_a_load(WALK, 5, LOOPS)
    # Sixteen bytes that happen to overwrite their own address register are no chain.
    wide = [
        "LDG.E.128 R4, desc[UR6][R10.64]",
        "IMAD.WIDE.U32 R4, R3, 0x10, R10",
        "LDG.E.128 R4, desc[UR6][R4.64]",
    ]
    assert not waits.follows_a_load(wide, 2)


# The zoo's grid_wait.cu and cluster_fence.cu, as nvcc 13.0 compiles them.
SPIN = (
    "ATOMG.E.ADD.STRONG.GPU PT, RZ, desc[UR4][R6.64], R11",
    "LEA R13, R8, 0x80, 0x7",
    "LD.E.STRONG.GPU R0, desc[UR4][R6.64]",
    "CCTL.IVALL",
    "YIELD",
    "VIADD R0, R0, -UR6",
    "ISETP.GE.U32.AND P0, PT, R0, R13, PT",
    "@!P0 BRA 0x20",
    "WARPSYNC.ALL",
    "BAR.SYNC.DEFER_BLOCKING 0x0",
)
EXCHANGE = (
    "STG.E desc[UR4][R2.64], R7",
    "MEMBAR.ALL.GPU",
    "ERRBAR",
    "UCGABAR_ARV",
    "UCGABAR_WAIT",
    "CCTL.IVALL",
    "LDG.E.STRONG.GPU R7, desc[UR4][R4.64]",
    "UCGABAR_ARV",
    "UCGABAR_WAIT",
    "FFMA R7, R7, R6, 0.25",
    "@P0 BRA 0x0",
)


def test_a_spin_for_other_blocks_is_told_from_an_exchange_through_the_same_word() -> None:
    assert waits.polls(SPIN, 2, waits.loops(SPIN, range(0, 160, 16)))
    assert not waits.polls(EXCHANGE, 6, waits.loops(EXCHANGE, range(0, 176, 16)))


def test_an_mbarriers_try_is_what_the_branch_behind_it_waits_for() -> None:
    # The zoo's one_stage.cu: the predicate comes with the scoreboard of a load.
    code = ["SYNCS.PHASECHK.TRANS64.TRYWAIT P0, [UR4], R8", "@!P0 BRA 0x0"]
    assert waits.producer(code, 1, LONG, waits.loops(code, (0, 16))) == 0


def test_a_shared_memory_atomic_is_no_load_from_global_memory() -> None:
    # Once blamed in a recorded session: what the FFMA waits for is the bias in R92.
    code = [
        "LDG.E.NA.128.CONSTANT R92, desc[UR4][R10.64+0x18000]",
        "@P1 BRA 0x40",
        "ATOMS.ADD R5, [R5+0x4], R98",
        "IADD3 R30, R31, R32, RZ",
        "FFMA R92, R68, R5, R92",
    ]
    assert waits.producer(code, 4, LONG) == 0


def test_a_cluster_waits_for_its_arrivals_and_a_block_for_its_own_barrier() -> None:
    code = ["UCGABAR_ARV", "BAR.SYNC.DEFER_BLOCKING 0x0", "LDS R1, [R2]", "UCGABAR_WAIT"]
    assert waits.producer(code, 3, "barrier") == 0
    assert waits.producer(code, 2, "barrier") == 1
    assert waits.producer(["UCGABAR_ARV", "FADD R1, R2, R3"], 1, "barrier") is None
