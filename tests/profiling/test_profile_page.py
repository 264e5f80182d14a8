"""The page: every rung's golden text, its budget, and what its findings may promise."""

from collections.abc import Callable

import msgspec
import pytest

from refine_agent.profiling import memory_rules, summary, trace, work_rules
from refine_agent.profiling.case import Case
from refine_agent.profiling.evidence import (
    Compiled,
    CpuRun,
    Instruction,
    KernelReport,
    Loop,
    Opcodes,
    Place,
    Producer,
    Rule,
    Static,
)
from refine_agent.profiling.records import Ceilings, Finding, Flops, Page, Work
from tests.profiling.evidence_on_file import H200, LAYER_NORM, layer_norm
from tests.profiling.zoo import scores

Golden = Callable[[str, str], None]
DIGEST = "3fa9c2d17b60e4a5"
LAYER_NORM_READ = float(LAYER_NORM.bytes_read or 0)
SHAPE = "(4096, 8192) float32"

ROWS = (
    b'{"calls": 2, "kernels": ['
    b'{"name": "void vectorized_layer_norm_kernel<float, float, false>(int, float)", '
    b'"start_us": 0, "duration_us": 108, "grid": [4096, 1, 1], "block": [32, 4, 1], "call": 0},'
    b'{"name": "void scale<float>(float*)", "start_us": 120, "duration_us": 40, "call": 0},'
    b'{"name": "void vectorized_layer_norm_kernel<float, float, false>(int, float)", '
    b'"start_us": 900, "duration_us": 110, "grid": [4096, 1, 1], "block": [32, 4, 1], "call": 1},'
    b'{"name": "void scale<float>(float*)", "start_us": 1024, "duration_us": 40, "call": 1}]}'
)


def page_of(  # noqa: PLR0913  (as many as there are kinds of evidence)
    *reports: KernelReport,
    work: Work | None = LAYER_NORM,
    ceilings: Ceilings | None = H200,
    timing_us: float | None = 112.5,
    rows: bytes | None = None,
    static: Static | None = None,
    why: str | None = None,
    cpu: CpuRun | None = None,
    device: str = "NVIDIA H200",
) -> Page:
    return summary.page(
        candidate_digest=DIGEST,
        device=device,
        shape=SHAPE,
        work=work,
        ceilings=ceilings,
        timing_us=timing_us,
        reports=reports,
        trace=trace.read(rows) if rows else None,
        static=static,
        why_not_higher=why,
        cpu=cpu,
    )


@pytest.mark.parametrize("collected", ["basic", "detailed", "full"])
def test_the_page_of_a_real_kernel_reads_as_reviewed(collected: str, golden: Golden) -> None:
    golden(f"layer_norm_{collected}", page_of(layer_norm(collected)).text())


def test_the_first_finding_is_the_loss_that_no_rule_of_nvidias_names() -> None:
    # 366 MB move where 269 MB are needed; NVIDIA's top rule points at loads that hit the L1.
    first = page_of(layer_norm()).findings[0]
    assert first.kind == "extra_traffic"
    assert "1.37x" in first.text


def test_findings_never_promise_more_than_the_distance_to_the_floor() -> None:
    page = page_of(layer_norm(), timing_us=75.0)
    room = 1 - 62.88 / 75.0
    assert all(finding.severity <= room + 0.001 for finding in page.findings)


def test_a_call_near_its_measured_ceiling_has_no_finding() -> None:
    page = page_of(layer_norm(), timing_us=65.0)
    assert page.findings == ()
    assert "FINDINGS none: within 5 % of the measured ceiling" in page.text()


def test_where_no_finding_is_large_the_largest_ones_are_named_all_the_same() -> None:
    # 1.14 times the floor: healthy, and still an eighth of the time to be won.
    page = page_of(layer_norm(), timing_us=72.0)
    assert page.findings == ()
    assert "FINDINGS none of 10 % of the time or more; 13 % of the time lie above" in page.text()
    assert "\nsmaller: extra_traffic (13 %): 367 MB cross" in page.text()
    assert "only fewer bytes" not in page.text()


def test_a_ceiling_that_the_kernel_beats_silences_no_finding() -> None:
    # A split product on tensor cores: twice as fast as a library's FP32 matmul, far from the bound.
    product = Work(
        bytes_needed=LAYER_NORM.bytes_needed,
        flops=(Flops(precision="fp32", count=10_000_000_000, matrix=True),),
    )
    page = page_of(layer_norm(), work=product)
    assert page.value("floor_ratio") == pytest.approx(112.5 / 196.1, abs=0.01)
    assert page.findings[0].kind == "extra_traffic"
    assert "beaten, so not this kernel's floor" in page.text()


def with_counters(**counters: float) -> KernelReport:
    """Return the real LayerNorm with other values for some counters (`_dot_` for a dot)."""
    renamed = {name.replace("_dot_", "."): value for name, value in counters.items()}
    return msgspec.structs.replace(layer_norm(), counters=layer_norm().counters | renamed)


def test_fixed_shares_of_a_persistent_grid_are_told_to_be_dealt_at_run_time() -> None:
    # One block per SM, as in a persistent kernel, and the SMs 8 % apart on average.
    longest = layer_norm().counters["sm__cycles_active.avg"] / 0.92
    persistent = with_counters(
        launch__grid_size=132,
        launch__waves_per_multiprocessor=1.0,
        sm__cycles_active_dot_max=longest,
    )
    found = work_rules.imbalance(Case(report=persistent))
    assert found is not None
    assert found.severity == pytest.approx(0.08, abs=0.01)
    assert "deal the work at run time" in found.advice
    assert work_rules.imbalance(Case(report=layer_norm())) is None


def test_passes_that_the_l2_hides_from_dram_are_a_finding() -> None:
    # Three passes over the input, of which DRAM sees one and the L2 all.
    passes = of_instructions(
        l1tex__m_xbar2l1tex_read_bytes_dot_sum=3.0 * LAYER_NORM_READ,
        dram__bytes_read_dot_sum=LAYER_NORM_READ,
        lts__throughput_dot_avg_dot_pct_of_peak_sustained_elapsed=75.0,
        gpu__dram_throughput_dot_avg_dot_pct_of_peak_sustained_elapsed=50.0,
    )
    page = page_of(passes)
    assert "SMs read 403 MB from the L2, 3.00x the input" in page.text()
    (found,) = [one for one in page.findings if one.kind == "l2_rereads"]
    assert found.severity == pytest.approx(min(2 / 3 * 0.75, 1 - 62.88 / 112.5), abs=0.02)
    product = Work(
        bytes_needed=LAYER_NORM.bytes_needed,
        bytes_read=LAYER_NORM.bytes_read,
        bytes_written=LAYER_NORM.bytes_written,
        flops=(Flops(precision="fp32", count=1, matrix=True),),
    )
    assert "l2_rereads" not in {one.kind for one in page_of(passes, work=product).findings}


def test_an_l2_no_busier_than_a_streams_is_not_blamed_for_what_is_read_again() -> None:
    # A shared operand, 1.5 times the input, at DRAM rates that keep the L2 as busy by themselves.
    def at(dram_pct: float) -> KernelReport:
        return of_instructions(
            l1tex__m_xbar2l1tex_read_bytes_dot_sum=1.5 * LAYER_NORM_READ,
            dram__bytes_read_dot_sum=LAYER_NORM_READ,
            lts__throughput_dot_avg_dot_pct_of_peak_sustained_elapsed=78.0,
            gpu__dram_throughput_dot_avg_dot_pct_of_peak_sustained_elapsed=dram_pct,
        )

    as_a_stream, beyond = page_of(at(70.0)), page_of(at(50.0))
    assert "SMs read 201 MB from the L2, 1.50x the input" in as_a_stream.text()
    assert "l2_rereads" not in as_a_stream.text()
    assert "l2_rereads" in beyond.text()


def test_how_busy_a_copy_keeps_the_memory_stands_beside_how_busy_it_is() -> None:
    text = page_of(layer_norm()).text()
    assert "(69 %; the measured copy reaches 89 %)" in text
    assert "L2 79 % (a plain copy: 89)" in text


def waiting_at(
    reason: str, cycles: float, *instructions: Instruction, **opcodes: int
) -> KernelReport:
    """Return the real LayerNorm's counters with one more reason to wait, and other code."""
    name = f"smsp__average_warps_issue_stalled_{reason}_per_issue_active.ratio"
    return msgspec.structs.replace(
        layer_norm(),
        counters=layer_norm().counters | {name: cycles},
        instructions=instructions,
        opcodes=opcodes,
        samples=sum(one.samples for one in instructions),
    )


def waits_at_an_mbarrier() -> Instruction:
    tried = Producer(
        offset=16,
        sass="SYNCS.PHASECHK.TRANS64.TRYWAIT P0, [R2+URZ], R3",
        reason="long_scoreboard",
        place=Place(file="cuda_source", line=31),
    )
    return Instruction(
        offset=32,
        sass="@!P0 BRA 0x7ff0677a28c0",
        place=Place(file="cuda_source", line=31),
        samples=90,
        stalls={"long_scoreboard": 90},
        waits_for=tried,
    )


def test_a_wait_for_a_bulk_copy_is_named_as_such() -> None:
    report = waiting_at("wait", 1.0, waits_at_an_mbarrier())
    text = page_of(report).text()
    assert " for an mbarrier (SYNCS.PHASECHK.TRANS64.TRYWAIT" in text
    assert "may wait for other blocks" not in text
    found = memory_rules.slow_loads(Case(report=with_idle_memory(report)))
    assert found is not None
    assert "at an mbarrier, for bulk copies" in found.text
    assert "more stages" in found.advice


def test_a_warp_that_polls_other_blocks_is_named_where_others_wait_at_an_mbarrier() -> None:
    # One warp of twelve polls: it has next to no samples, and all others wait for what it learns.
    poll = Instruction(
        offset=64,
        sass="LDG.E.128.STRONG.GPU R4, desc[UR4][R2.64]",
        place=Place(file="cuda_source", line=84),
        samples=1,
        stalls={"long_scoreboard": 1},
        executed=4000,
        polls=True,
    )
    text = page_of(waiting_at("wait", 1.0, waits_at_an_mbarrier(), poll)).text()
    assert (
        "the other side of the pipeline, which may wait for other blocks at cuda_source:84" in text
    )


def with_idle_memory(report: KernelReport) -> KernelReport:
    idle = {
        "gpu__dram_throughput.avg.pct_of_peak_sustained_elapsed": 30.0,
        "lts__throughput.avg.pct_of_peak_sustained_elapsed": 30.0,
    }
    return msgspec.structs.replace(report, counters=report.counters | idle)


def test_warps_that_spin_for_other_blocks_are_no_barriers_fault() -> None:
    barrier = Instruction(
        offset=0, sass="BAR.SYNC 0x1", samples=60, stalls={"barrier": 60}, executed=16
    )
    spin = Instruction(
        offset=16,
        sass="LD.E.128.STRONG.GPU R4, desc[UR4][R2.64]",
        place=Place(file="cuda_source", line=165),
        samples=5,
        stalls={"long_scoreboard": 5},
        executed=4000,
        polls=True,
    )
    with_spin = with_idle_memory(waiting_at("barrier", 40.0, barrier, spin))
    found = work_rules.grid_wait(Case(report=with_spin))
    assert found is not None
    assert found.where == "cuda_source:165"
    assert work_rules.barriers(Case(report=with_spin)) is None
    alone = Case(report=msgspec.structs.replace(with_spin, instructions=(barrier,)))
    assert work_rules.grid_wait(alone) is None
    assert work_rules.barriers(alone) is not None


def test_blocks_that_spin_for_each_other_without_a_barrier_are_found_too() -> None:
    spin = Instruction(
        offset=16,
        sass="LD.E.STRONG.GPU R0, desc[UR4][R6.64]",
        place=Place(file="cuda_source", line=165),
        samples=60,
        stalls={"long_scoreboard": 60},
        executed=4000,
        polls=True,
    )
    report = with_idle_memory(waiting_at("long_scoreboard", 40.0, spin))
    found = work_rules.grid_wait(Case(report=report))
    assert found is not None
    assert found.where == "cuda_source:165"


def test_the_fence_of_a_cluster_barrier_is_told_from_one_that_somebody_wrote() -> None:
    fence = Instruction(
        offset=0,
        sass="ERRBAR",
        place=Place(file="cuda_source", line=74),
        samples=60,
        stalls={"membar": 60},
    )
    clusters = memory_rules.fences(Case(report=waiting_at("membar", 40.0, fence, UCGABAR_ARV=8)))
    plain = memory_rules.fences(Case(report=waiting_at("membar", 40.0, fence, MEMBAR=8)))
    assert clusters is not None
    assert plain is not None
    assert clusters.where == plain.where == "cuda_source:74"
    assert "st.async on an mbarrier" in clusters.advice
    assert "cluster" not in plain.text + plain.advice


def test_the_barrier_of_a_cluster_is_told_from_a_blocks() -> None:
    def found(sass: str) -> Finding | None:
        wait = Instruction(
            offset=0,
            sass=sass,
            place=Place(file="cuda_source", line=342),
            samples=60,
            stalls={"barrier": 60},
        )
        return work_rules.barriers(Case(report=with_idle_memory(waiting_at("barrier", 40.0, wait))))

    cluster, block = found("UCGABAR_WAIT"), found("BAR.SYNC.DEFER_BLOCKING 0x0")
    assert cluster is not None
    assert block is not None
    assert cluster.where == block.where == "cuda_source:342"
    assert "for the blocks of a cluster" in cluster.text
    assert "barrier.cluster.arrive" in cluster.advice
    assert "cluster" not in block.text + block.advice


@pytest.mark.parametrize(
    ("opcode", "words"),
    [
        ("HMMA.1688.F32.TF32", "2.0k matrix instructions, HMMA (mma.sync), which reach about two"),
        ("HGMMA.64x256x16.F32", "2.0k matrix instructions, HGMMA (wgmma);"),
        ("DMMA.884", "2.0k matrix instructions, DMMA (mma.sync in double);"),
        ("FFMA", "no matrix instruction;"),
    ],
)
def test_the_kind_of_matrix_instruction_and_its_own_limit_are_said(opcode: str, words: str) -> None:
    report = msgspec.structs.replace(layer_norm(), opcodes={opcode: 2000})
    assert words in page_of(report).text()


def test_kernels_that_hardly_count_get_no_details_and_none_is_cut_in_silence() -> None:
    def another(name: str, micros: float) -> KernelReport:
        counters = layer_norm().counters | {"gpu__time_duration.sum": micros * 1e3}
        return msgspec.structs.replace(layer_norm(), name=name, counters=counters)

    page = page_of(
        layer_norm(),
        another("split_a", 20.0),
        another("split_b", 15.0),
        another("fill", 0.8),
        timing_us=150.0,
    )
    assert "KERNEL split_a" in page.text()
    assert "KERNELS WITHOUT DETAILS HERE  split_b 10 %; fill 0.5 %" in page.text()
    pair = page_of(layer_norm(), another("fill", 0.8), timing_us=120.0).text()
    assert "KERNEL fill" not in pair
    assert "KERNELS WITHOUT DETAILS HERE  fill 0.7 %" in pair


def test_lanes_that_are_off_cost_a_busy_sm_and_not_an_idle_one() -> None:
    # A producer warp works with one lane beside eleven that wait for memory.
    def severity(sm_pct: float) -> float:
        report = with_counters(
            inst_executed=1e6,
            thread_inst_executed_true=16e6,
            sm__throughput_dot_avg_dot_pct_of_peak_sustained_elapsed=sm_pct,
        )
        found = work_rules.divergence(Case(report=with_idle_memory(report)))
        return 0.0 if found is None else found.severity

    assert severity(90.0) == pytest.approx(0.5 * 0.9 * (1 - 0.3 / 0.89), abs=0.01)
    assert severity(15.0) == pytest.approx(severity(90.0) / 6)


def test_local_accesses_are_held_against_all_instructions() -> None:
    assert "0 spill, 0 local-memory instructions\n" in page_of(layer_norm()).text()
    text = scores.page("rereads-first").text()
    assert "786432 local-memory instructions (1.0 % of all)" in text


def test_the_worst_of_negligible_conflicts_is_not_named() -> None:
    rare = of_instructions(
        WIDE,
        COPIES,
        memory_l1_wavefronts_shared=100_048,
        memory_l1_wavefronts_shared_ideal=100_000,
    )
    assert "worst 10-way" not in page_of(rare).text()


def test_shared_memory_that_the_driver_could_still_hand_out_limits_nothing() -> None:
    ties = {
        "launch__occupancy_limit_shared_mem": 32,
        "launch__occupancy_limit_blocks": 32,
        "launch__occupancy_limit_barriers": 32,
        "launch__occupancy_limit_registers": 64,
        "launch__occupancy_limit_warps": 64,
        "sm__maximum_warps_per_active_cycle_pct": 50,
    }
    small = with_counters(**ties, launch__shared_mem_per_block_allocated=1024)
    assert work_rules.limiting(small) == ("blocks",)
    large = with_counters(**ties, launch__shared_mem_per_block_allocated=7296)
    assert work_rules.limiting(large) == ("shared_mem", "blocks")
    alone = with_counters(
        **{**ties, "launch__occupancy_limit_shared_mem": 8},
        launch__shared_mem_per_block_allocated=1024,
    )
    assert "carve-out" in (work_rules.lift(alone) or "")


def test_a_tensor_kernel_whose_tiles_fill_shared_memory_is_not_told_to_raise_occupancy() -> None:
    full = with_idle_memory(
        with_counters(
            launch__occupancy_limit_shared_mem=1,
            launch__shared_mem_per_block_allocated=200e3,
            launch__occupancy_limit_registers=1,
            sm__maximum_warps_per_active_cycle_pct=12.5,
        )
    )
    assert work_rules.occupancy(Case(report=full)) is not None
    product = msgspec.structs.replace(full, opcodes={"HGMMA.64x96x8.F32.TF32": 9})
    assert work_rules.occupancy(Case(report=product)) is None


def test_the_clock_of_the_profile_is_said_and_what_holds_it_back() -> None:
    assert "SM clock 1.95 of 1.98 GHz\n" in page_of(layer_norm()).text()
    hot = with_counters(smsp__cycles_elapsed_dot_avg_dot_per_second=1.62e9)
    assert "SM clock 1.62 of 1.98 GHz, as under a power or heat limit" in page_of(hot).text()


def test_a_warp_that_drains_waits_for_its_stores_and_not_at_the_kernels_end() -> None:
    store = Instruction(
        offset=0,
        sass="STG.E.EF.128 desc[UR4][R2.64], R4",
        place=Place(file="cuda_source", line=77),
        executed=8,
    )
    end = Instruction(
        offset=16,
        sass="HFMA2.MMA R43, -RZ, RZ, 0, 4.7e-07",
        place=Place(file="cuda_source", line=79),
        samples=9,
        stalls={"drain": 9},
    )
    assert (
        "(drain) for its stores at cuda_source:77"
        in page_of(waiting_at("drain", 1, store, end)).text()
    )


WIDE = Instruction(
    offset=0, sass="LDS.128 R4, [R8]", executed=8, wavefronts=32, wavefronts_ideal=32, nway=4
)
COPIES = Instruction(
    offset=16,
    sass="@P0 LDGSTS.E.128 [R3], desc[UR4][R4.64]",
    place=Place(file="cuda_source", line=45),
    executed=8,
    sectors=160,
    sectors_ideal=128,
    wavefronts=80,
    wavefronts_ideal=32,
    nway=10,
)


def of_instructions(*instructions: Instruction, **counters: float) -> KernelReport:
    return msgspec.structs.replace(with_counters(**counters), instructions=instructions)


def test_sixteen_byte_accesses_are_no_conflict_without_excess_passes() -> None:
    text = page_of(of_instructions(WIDE)).text()
    assert "shared: 0 % of wavefronts from bank conflicts;" in text
    assert "4-way" not in text


def test_excess_of_asynchronous_copies_is_counted_and_has_a_line() -> None:
    copying = of_instructions(
        WIDE,
        COPIES,
        memory_l1_wavefronts_shared=112,
        memory_l1_wavefronts_shared_ideal=64,
        smsp__sass_average_data_bytes_per_sector_mem_global_op_ld_dot_ratio=0.0,
    )
    text = page_of(copying).text()
    assert "load 26" in text
    assert "worst 10-way, 100 % of it by LDGSTS.E.128 at cuda_source:45" in text


def test_stores_beside_bulk_copies_are_not_called_uncoalesced() -> None:
    # The result leaves by bulk copies (TMA); the only plain stores are a counter's.
    counter = Instruction(offset=0, sass="STG.E desc[UR4][R2.64], R4", executed=132, sectors=132)
    stores = {"smsp__sass_average_data_bytes_per_sector_mem_global_op_st_dot_ratio": 4.0}
    bulk = msgspec.structs.replace(
        of_instructions(counter, **stores), opcodes={"UBLKCP.G.S": 4096, "STG.E": 132}
    )
    assert page_of(bulk).value("store_bytes_per_sector") is None
    assert page_of(of_instructions(counter, **stores)).value("store_bytes_per_sector") == 4


def test_an_operand_that_falls_out_of_the_l2_is_told_from_a_second_pass() -> None:
    # Every row reads the parameters again: SMs ask for 1.9x the input, DRAM delivers 1.4x.
    fallen = of_instructions(
        l1tex__m_xbar2l1tex_read_bytes_dot_sum=1.9 * LAYER_NORM_READ,
        dram__bytes_read_dot_sum=1.4 * LAYER_NORM_READ,
        dram__bytes_write_dot_sum=float(LAYER_NORM.bytes_written or 0),
    )
    (found,) = [one for one in page_of(fallen).findings if one.kind == "extra_traffic"]
    assert "what several blocks read falls out of the L2 in between" in found.text
    assert "evict_last" in found.advice


def test_stores_that_leave_the_l2_first_are_named_where_nothing_larger_is() -> None:
    page = scores.page("layer_norm-first", alone=True)
    assert page.findings == ()
    assert "smaller: streaming_stores (3 %) at layer_norm.cu:35" in page.text()


def test_a_number_that_was_not_collected_is_not_shown_as_zero() -> None:
    text = summary.page(
        candidate_digest=DIGEST,
        device="NVIDIA H200",
        shape=SHAPE,
        work=None,
        ceilings=None,
        timing_us=None,
        reports=(layer_norm("detailed"),),
    ).text()
    assert "82 % of waiting is for loads" in text
    assert "warps ready per scheduler" not in text


def product(m: int, n: int, k: int) -> Work:
    read, written = 2 * (m * k + k * n), 2 * m * n
    return Work(
        bytes_needed=read + written,
        bytes_read=read,
        bytes_written=written,
        flops=(Flops(precision="bf16", count=2 * m * n * k, matrix=True),),
    )


def test_only_products_that_bytes_do_not_bind_are_told_to_use_tensor_cores() -> None:
    # A product with one column takes 64 us for its bytes and 4 for its operations on plain pipes;
    # with 32 columns it takes 128 there, although with tensor cores its bytes bind as well.
    for columns, told in ((1, False), (32, True)):
        page = page_of(layer_norm(), work=product(8192, columns, 16384))
        assert ("no_tensor_cores" in {one.kind for one in page.findings}) == told


def without(report: KernelReport, *counters: str) -> KernelReport:
    kept = {name: n for name, n in report.counters.items() if not name.startswith(counters)}
    return msgspec.structs.replace(report, counters=kept)


THROUGHPUTS = ("gpu__dram_throughput", "lts__throughput", "l1tex__throughput", "sm__throughput")


def test_a_report_without_throughputs_is_not_said_to_idle() -> None:
    # Read as 0, they make every wait look as if nothing were busy.
    report = without(layer_norm(), *THROUGHPUTS)
    page = page_of(report, work=None, ceilings=None, timing_us=None)
    assert "at 0 % of the nearest ceiling" not in page.text()
    assert "none weighed: how busy the memory and the SMs were was not measured" in page.text()
    assert not {"latency", "scalar_loads", "tail", "barriers"} & {one.kind for one in page.findings}
    measured = page_of(layer_norm(), work=None, ceilings=None, timing_us=None)
    assert {"tail"} <= {one.kind for one in measured.findings}


@pytest.mark.parametrize("lost", THROUGHPUTS)
def test_how_near_the_ceilings_a_kernel_is_takes_all_of_them(lost: str) -> None:
    case = Case(report=without(layer_norm(), lost))
    assert case.near is None
    assert case.latency_room is None
    assert (case.memory_near is None) == (lost in THROUGHPUTS[:2])


def test_idle_sms_are_claimed_only_where_their_times_were_measured() -> None:
    report = without(layer_norm(), "sm__cycles_active.max")
    found = work_rules.tail(Case(report=report))
    assert found is not None
    assert found.text.endswith("64 % of an SM's warps are there, 75 % fit")
    assert work_rules.tail(Case(report=without(report, "sm__warps_active"))) is None


def test_local_accesses_are_not_called_arrays_where_spills_were_not_counted() -> None:
    report = msgspec.structs.replace(
        layer_norm(),
        counters=layer_norm().counters | {"smsp__sass_inst_executed_op_local_ld.sum": 1e6},
    )
    for lost, words in (
        ((), "arrays in local memory"),
        (
            ("sass__inst_executed_register_spilling",),
            "spilled registers or arrays",
        ),
    ):
        found = memory_rules.spills(Case(report=without(report, *lost)))
        assert found is not None
        assert found.text.startswith(words)


def test_what_lies_above_the_floor_outside_the_kernels_is_said() -> None:
    text = scores.page("layer_norm-first").text()
    assert "11 % of the time lie above the floor, 5 % outside its kernels" in text


def test_what_the_l2_still_holds_is_said_and_is_no_launchs_doing() -> None:
    # 513 of 537 MB written: a lone kernel does not wait for them, calls in a row do.
    text = scores.page("copy-first").text()
    assert "(24 MB of the result are still in the L2 at its end: 5.7 us to write back)" in text
    assert "outside its kernels, in launch, drain and write-back" in text
    assert "FINDINGS none" in text
    assert "% outside its kernels" not in text, "6.8 us are the write-back's"


def test_a_kernel_that_writes_little_leaves_nothing_worth_a_word() -> None:
    for name in ("row_sum-first", "cluster_fence-first"):
        text = scores.page(name).text()
        assert "still in the L2" not in text
        assert "outside its kernels, in launch and drain" in text


def test_a_hot_line_of_an_inlined_function_says_where_the_kernel_calls_it() -> None:
    text = scores.page("layer_norm-first").text()
    assert "at layer_norm.cu:8 (called near layer_norm.cu:25)" in text
    assert "at layer_norm.cu:25: " in text


def test_a_rule_of_nvidias_that_the_exact_count_refutes_is_not_quoted() -> None:
    rule = Rule(identifier="SharedMemoryConflicts", estimate_pct=40, overall=True)
    without = msgspec.structs.replace(with_counters(), rules=(rule,))
    assert "40 % shared-memory" not in page_of(without).text()
    counters = {
        "memory_l1_wavefronts_shared": 100.0,
        "memory_l1_wavefronts_shared_ideal": 50.0,
    }
    with_conflicts = msgspec.structs.replace(with_counters(**counters), rules=(rule,))
    assert "40 % shared-memory" in page_of(with_conflicts).text()


def test_an_estimate_within_a_unit_is_not_passed_off_as_the_times() -> None:
    # Most of the slots of an SM that waits are empty; a quarter of its time is all there is to win.
    mixed = (
        Rule(identifier="IssueSlotUtilization", estimate_pct=75, overall=False),
        Rule(identifier="FPInstructions", estimate_pct=50, overall=False),
        Rule(identifier="ThreadDivergence", estimate_pct=25, overall=True),
        Rule(identifier="FPInstructions", estimate_pct=10, overall=True),
    )
    report = msgspec.structs.replace(layer_norm(), rules=mixed)
    (line,) = (one for one in page_of(report).lines if one.startswith("NVIDIA'S RULES"))
    of_the_time, _, of_a_unit = line.partition("; not of the time, only within their own unit: ")
    assert of_the_time.endswith(
        "25 % lanes switched off; 10 % multiplies and adds that are not fused"
    )
    assert of_a_unit == "75 % empty issue slots (capped at 100 - busiest unit)"


def test_a_word_per_block_is_neither_an_uncoalesced_store_nor_nvidias_largest_estimate() -> None:
    # Sums of rows: one word is stored for each 16 KB read.
    page = scores.page("row_sum-first")
    assert page.value("store_bytes_per_sector") is None
    assert "(bytes used per 32: load 32)" in page.text()
    assert "bytes used per sector" not in page.text()
    assert "bytes used per sector" in scores.page("strided_store-first").text()


def test_nvidias_rules_are_those_of_the_heaviest_kernel() -> None:
    light, heavy = (
        msgspec.structs.replace(
            with_counters(gpu__time_duration_dot_sum=micros * 1e3),
            name=name,
            rules=(Rule(identifier=identifier, estimate_pct=40, overall=True),),
        )
        for name, micros, identifier in [
            ("split", 40.0, "FPInstructions"),
            ("product", 600.0, "ThreadDivergence"),
        ]
    )
    text = page_of(light, heavy).text()
    assert "40 % lanes switched off" in text
    assert "not fused" not in text


def test_numbers_that_were_not_collected_are_named_and_not_dropped() -> None:
    text = page_of(layer_norm("basic")).text()
    assert "N/A  on sm_90" in text
    assert "dram_mb" in text


def test_every_page_stays_within_its_budget() -> None:
    crowded = [
        msgspec.structs.replace(layer_norm(), name=f"kernel_{number}<float,float,float>")
        for number in range(12)
    ]
    assert summary.tokens(page_of(*crowded, rows=ROWS).text()) <= 1200
    assert summary.tokens(page_of(layer_norm()).text()) <= 1200


def test_a_page_says_whose_it_is_and_on_what() -> None:
    first = page_of(layer_norm()).text().splitlines()[0]
    assert DIGEST in first
    assert SHAPE in first
    assert "NVIDIA H200" in first


def test_kernels_share_time_and_the_lighter_one_counts_less(golden: Golden) -> None:
    light = msgspec.structs.replace(
        layer_norm(),
        name="scale<float>",
        counters=layer_norm().counters | {"gpu__time_duration.sum": 40e3},
    )
    page = page_of(layer_norm(), light, rows=ROWS, timing_us=165.0)
    assert [round(kernel.share_pct or 0) for kernel in page.kernels] == [73, 27]
    assert page.value("dram_mb") == pytest.approx(2 * 366.508, abs=0.01)
    golden("two_kernels", page.text())


def test_a_launchs_shape_comes_from_ncu_where_the_timeline_has_none() -> None:
    rows = (
        b'{"kernels": [{"name": "vectorized_layer_norm_kernel<float, float, false>", '
        b'"start_us": 0, "duration_us": 110}]}'
    )
    clustered = msgspec.structs.replace(layer_norm(), cluster="4")
    text = page_of(clustered, rows=rows).text()
    assert "<<<4096, 32x4>>> in clusters of 4, 110.0 us" in text
    assert "?" not in page_of(rows=rows).text().splitlines()[1]


def test_gaps_between_launches_are_capped_by_the_unprofiled_timing() -> None:
    # The profiled timeline has 13 us of gaps; the judge's own timing leaves room for only one.
    page = page_of(rows=ROWS, timing_us=150.0)
    assert page.value("gap_pct") == pytest.approx(100 * 1 / 150.0)


def test_tools_that_saw_different_kernels_are_reported() -> None:
    text = page_of(layer_norm(), rows=ROWS, timing_us=165.0).text()
    assert "DISAGREEMENT  not profiled by ncu: scale" in text


def test_a_kernel_whose_time_differs_between_tools_is_reported() -> None:
    slower = ROWS.replace(b'"duration_us": 108', b'"duration_us": 208')
    text = page_of(layer_norm(), rows=slower, timing_us=260.0).text()
    name = "vectorized_layer_norm_kernel<float,float,false>"
    assert f"DISAGREEMENT  {name} takes 110.4 us under ncu, 159.0 us in the timeline" in text
    assert "in the timeline" not in page_of(layer_norm(), rows=ROWS).text()


def test_a_call_that_takes_twice_its_kernels_without_a_timeline_is_reported() -> None:
    text = page_of(layer_norm(), timing_us=250.0).text()
    assert "when timed: host work, copies, or kernels that no profiler saw" in text
    assert "host work" not in page_of(layer_norm(), timing_us=150.0).text()


def test_launches_beyond_the_profiled_ones_are_counted_in() -> None:
    rows = (
        b'{"kernels": ['
        + b",".join(
            b'{"name": "vectorized_layer_norm_kernel<float, float, false>", "start_us": %d, '
            b'"duration_us": 110}' % (120 * launch)
            for launch in range(5)
        )
        + b"]}"
    )
    page = page_of(layer_norm(), rows=rows, timing_us=600.0)
    assert page.value("dram_mb") == pytest.approx(5 * 366.508, abs=0.01)
    assert "ncu profiled 1 of 5 launches; sums are scaled" in page.text()


def test_closed_counters_are_a_rung_down_with_the_reason(golden: Golden) -> None:
    why = "ncu may not read the counters here (ERR_NVGPUCTRPERM); load the driver with an option"
    page = page_of(rows=ROWS, timing_us=165.0, why=why)
    assert page.rung == "torch.profiler"
    assert page.why_not_higher == why
    golden("torch_profiler", page.text())


def test_a_timeline_and_the_compiler_say_what_a_kernel_takes_of_an_sm() -> None:
    rows = (
        b'{"kernels": [{"name": "norm(float*)", "start_us": 0, "duration_us": 65, '
        b'"grid": [4096, 1, 1], "block": [512, 1, 1], "registers": 40, "shared_bytes": 1184}]}'
    )
    built = Compiled(
        name="norm(float*)", arch="sm_90", registers=40, spill_store_bytes=8, spill_load_bytes=8
    )
    both = Static(kernels=(built,))
    (kernel,) = page_of(rows=rows, static=both).kernels
    assert (kernel.registers, kernel.shared_bytes, kernel.spill_bytes) == (40, 1184, 16)
    assert kernel.fits_pct == 75, "three blocks of 512 threads hold 61440 of 65536 registers"
    text = page_of(rows=rows, static=both).text()
    assert (
        "norm <<<4096, 512>>> (40 registers/thread, 1.2 KB shared, 75 % of an SM's warps fit)"
        in text
    )
    # Of two instances of a template nobody knows which one ran.
    twice = Static(kernels=(built, msgspec.structs.replace(built, spill_load_bytes=64)))
    assert page_of(rows=rows, static=twice).kernels[0].spill_bytes is None


def test_without_any_profiler_the_compiler_speaks(golden: Golden) -> None:
    static = Static(
        kernels=(
            Compiled(
                name="norm",
                arch="sm_90",
                registers=168,
                spill_store_bytes=96,
                spill_load_bytes=128,
                shared_bytes=49152,
            ),
        ),
        opcodes=(Opcodes(name="norm", counts={"LDG.E": 12, "STG.E": 4, "DFMA": 9, "FADD": 80}),),
        threads_per_block=256,
    )
    page = page_of(static=static)
    assert page.rung == "static"
    assert {"spills", "occupancy_registers", "wrong_pipe"} <= {one.kind for one in page.findings}
    golden("static", page.text())


def test_with_nothing_but_a_timing_the_floors_remain(golden: Golden) -> None:
    page = page_of()
    assert page.rung == "timing"
    assert page.value("floor_ratio") == pytest.approx(112.5 / 62.88, abs=0.01)
    assert [one.kind for one in page.findings] == ["far_from_floor"]
    golden("timing", page.text())


def test_without_work_or_ceilings_the_page_says_that_it_has_no_floor() -> None:
    assert "no floor" in page_of(work=None, ceilings=None).text()


def test_inputs_that_fit_the_l2_carry_the_caveat() -> None:
    small = Work(bytes_needed=8_000_000, bytes_read=4_000_000, bytes_written=4_000_000)
    assert "holds only for cold caches" in page_of(work=small, timing_us=9.0).text()


CPU = Ceilings(
    device="2-core CPU", copy_gbps=12.0, fp32_matmul_tflops=0.06, threads=2, sources=("measured",)
)
OPERATORS = (
    b'{"calls": 4, "operators": ['
    b'{"name": "aten::native_layer_norm", "self_us": 88000, "calls": 4, '
    b'"shapes": "[[4096, 8192]]", "bytes_moved": 1073741824},'
    b'{"name": "aten::empty", "self_us": 40, "calls": 8}]}'
)


def test_on_a_cpu_rates_stand_against_measured_ceilings(golden: Golden) -> None:
    static = Static(
        loops=(
            Loop(place=Place(file="norm.cpp", line=12), vector_bytes=32),
            Loop(place=Place(file="norm.cpp", line=21), reason="it branches inside"),
        )
    )
    cpu = CpuRun(cpu_seconds=0.061, wall_seconds=0.06, cycles=90_000_000, instructions=120_000_000)
    flops = Flops(precision="fp32", count=268_435_456)
    page = page_of(
        work=msgspec.structs.replace(LAYER_NORM, flops=(flops,)),
        ceilings=CPU,
        timing_us=60_000.0,
        rows=OPERATORS,
        static=static,
        cpu=cpu,
        device="2-core CPU",
    )
    assert page.value("threads_used") == 1
    assert page.value("cpu_gbps") == pytest.approx(4.475, abs=0.01)
    assert page.value("scalar_loops") == 1
    assert {"few_threads", "scalar_loops"} <= {one.kind for one in page.findings}
    golden("cpu", page.text())


def test_a_cpus_product_is_held_against_a_rate_of_its_own_precision_or_none() -> None:
    flops = Flops(precision="fp64", count=2 * 1024**3, matrix=True)
    work = Work(bytes_needed=25_165_824, flops=(flops,))
    text = cpu_page(24_000.0, work=work).text()
    assert "89.48 GFLOP/s" in text
    assert "measured matmul" not in text
    assert "no floor" in text
    known = msgspec.structs.replace(CPU, fp64_matmul_tflops=0.1)
    text = page_of(work=work, ceilings=known, timing_us=24_000.0, cpu=CpuRun(threads_used=2)).text()
    assert "89.48 of 100 GFLOP/s measured matmul (89 %)" in text
    assert "2.15 G fp64 operations at 100 GFLOP/s measured matmul" in text


UNFUSED = (
    b'{"calls": 1, "operators": ['
    b'{"name": "aten::relu", "self_us": 20000, "calls": 1, '
    b'"shapes": "[[2048, 4096], [], [], []]"},'
    b'{"name": "aten::cumsum", "self_us": 25000, "calls": 1, "shapes": "[[2048, 4096], []]"},'
    b'{"name": "aten::empty", "self_us": 12, "calls": 3, "shapes": "[[], [], []]"}]}'
)


def cpu_page(
    timing_us: float,
    *,
    rows: bytes = OPERATORS,
    loops: tuple[Loop, ...] = (),
    threads: int = 2,
    work: Work = LAYER_NORM,
) -> Page:
    cpu = CpuRun(threads_used=threads)
    return page_of(
        work=work,
        ceilings=CPU,
        timing_us=timing_us,
        rows=rows,
        static=Static(loops=loops),
        cpu=cpu,
        device="2-core CPU",
    )


def test_a_cpu_kernel_near_the_measured_copy_is_told_that_only_fewer_bytes_help(
    golden: Golden,
) -> None:
    page = cpu_page(23_000.0)
    assert page.findings == ()
    assert "only fewer bytes would be faster" in page.text()
    golden("cpu_healthy", page.text())


def test_operators_that_pass_arrays_through_memory_are_one_finding(golden: Golden) -> None:
    page = cpu_page(45_500.0, rows=UNFUSED)
    assert [one.kind for one in page.findings] == ["extra_traffic"]
    assert "aten::relu, aten::cumsum" in page.findings[0].text or (
        "aten::cumsum, aten::relu" in page.findings[0].text
    )
    golden("cpu_unfused", page.text())


def test_an_outer_loop_is_not_blamed_for_being_scalar() -> None:
    outer = Loop(place=Place(file="a.cpp", line=3), reason="it branches inside", innermost=False)
    inner = Loop(place=Place(file="a.cpp", line=5), reason="it branches inside")
    page = cpu_page(80_000.0, loops=(outer, inner))
    assert [(one.kind, one.where) for one in page.findings] == [("scalar_loops", "a.cpp:5")]
    assert page.value("scalar_loops") == 1
    assert "a.cpp:3" not in page.text()


def test_far_from_the_ceiling_without_a_known_cause_a_cpu_gets_a_cpus_advice() -> None:
    (only,) = cpu_page(80_000.0).findings
    assert only.kind == "far_from_floor"
    assert "16-byte loads" not in only.advice
    assert "counters" not in only.text


def test_a_large_fresh_output_on_a_cpu_is_told_of_its_page_faults() -> None:
    (only,) = cpu_page(80_000.0).findings
    assert "134 MB faults at its first touch, 32,768 times" in only.text
    assert "MADV_POPULATE_WRITE" in only.advice
    small = msgspec.structs.replace(LAYER_NORM, bytes_written=8 << 20)
    (other,) = cpu_page(80_000.0, work=small).findings
    assert "faults" not in other.text + other.advice


def test_a_report_that_holds_no_duration_is_no_profile() -> None:
    empty = msgspec.structs.replace(layer_norm(), counters={})
    page = page_of(empty, rows=ROWS, timing_us=165.0)
    assert page.rung == "torch.profiler"
    assert page.why_not_higher is not None
    assert "holds no duration" in page.why_not_higher


def test_a_part_of_the_kernels_is_never_passed_off_as_the_calls_traffic() -> None:
    # A quarter of the call's time was in a kernel that ncu did not see.
    page = page_of(layer_norm(), rows=ROWS, timing_us=165.0)
    assert page.value("traffic_ratio") is None
    assert page.value("dram_mb") is None
    assert page.value("occupancy_pct") is not None


def test_a_kernel_can_win_back_no_more_than_its_share_of_the_call() -> None:
    light = msgspec.structs.replace(
        layer_norm(),
        name="scale<float>",
        counters=layer_norm().counters | {"gpu__time_duration.sum": 40e3},
    )
    page = page_of(layer_norm(), light, rows=ROWS, timing_us=1650.0)
    inside = [one for one in page.findings if one.kernel]
    assert all(one.severity <= 150 / 1650 for one in inside)


def test_a_kernel_as_short_as_a_launch_is_not_blamed_for_what_it_does() -> None:
    tiny = msgspec.structs.replace(
        layer_norm(), counters=layer_norm().counters | {"gpu__time_duration.sum": 2200.0}
    )
    assert all(one.kernel is None for one in page_of(tiny, timing_us=2.3, work=None).findings)


def test_a_timing_of_zero_divides_nothing() -> None:
    assert page_of(timing_us=0.0).rung == "timing"
