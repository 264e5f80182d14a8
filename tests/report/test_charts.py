"""Pictures place what was measured where it was measured; what is doubtful sets no scale."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
import pytest

from refine_agent import charts, rows
from refine_agent.charts.marks import sign
from refine_agent.charts.speedups import references_of
from refine_agent.charts.svg import Scale, fit, number, spread
from refine_agent.charts.tree import lanes_of, parents_of
from refine_agent.records import Ratio
from tests import synthetic

if TYPE_CHECKING:
    from pathlib import Path

    from refine_agent.transcript import Transcript


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Transcript:
    return synthetic.layernorm(tmp_path_factory.mktemp("runs") / "demo")


def heights(picture: str) -> dict[int, float]:
    """The y of each disc by its attempt."""
    marks = re.findall(r'<circle cx="[\d.]+" cy="([\d.]+)"[^>]*><title>attempt (\d+)', picture)
    return {int(attempt): float(y) for y, attempt in marks}


def level(picture: str, name: str) -> float:
    """The y of a reference's label, which stands at its line unless another is near."""
    found = re.search(rf'<text x="[\d.]+" y="([\d.]+)"[^>]*>{name}', picture)
    assert found is not None
    return float(found[1])


def test_faster_kernels_stand_higher_and_baselines_where_they_were_measured(
    run: Transcript,
) -> None:
    picture = charts.speedups(run)
    y = heights(picture)
    assert y[9] < y[8] < y[3] < y[1]
    assert y[8] < level(picture, "torch.compile") < y[3]
    assert level(picture, "floor") < y[9]


def test_a_kernel_that_nobody_believes_does_not_set_the_scale(tmp_path: Path) -> None:
    honest = synthetic.play(tmp_path / "honest", synthetic.trials()[:1])
    cheat = msgspec.structs.replace(synthetic.trials()[5], parent=1)
    both = synthetic.play(tmp_path / "both", [synthetic.trials()[0], cheat])

    def above_the_floor(picture: str) -> float:
        return level(picture, "eager") - level(picture, "floor")

    alone, beside = charts.speedups(honest), charts.speedups(both)
    assert above_the_floor(beside) == pytest.approx(above_the_floor(alone), rel=0.02)
    assert "doubtful" in beside


def test_an_interval_is_drawn_as_long_as_it_is(tmp_path: Path) -> None:
    def whisker(spread_of: float) -> float:
        wide = Ratio(value=0.8, low=0.8 - spread_of, high=0.8 + spread_of)
        verdict = msgspec.structs.replace(synthetic.trials()[0].verdict, speedup=wide)
        trial = msgspec.structs.replace(synthetic.trials()[0], verdict=verdict)
        drawn = charts.speedups(synthetic.play(tmp_path / f"{spread_of}", [trial]))
        (found,) = re.findall(r'y1="([\d.]+)" x2="[\d.]+" y2="([\d.]+)" class="s model"', drawn)[:1]
        return float(found[1]) - float(found[0])

    assert whisker(0.10) == pytest.approx(2 * whisker(0.05), rel=0.1)


def test_an_engineer_s_kernel_has_a_shape_of_its_own(run: Transcript) -> None:
    picture = charts.speedups(run)
    assert 4 not in heights(picture)
    assert re.search(r"<path d=[^>]*><title>attempt 4 \(engineer\)", picture)


def test_an_agent_s_kernel_is_neither_the_model_s_nor_the_engineer_s(run: Transcript) -> None:
    marks = []
    for author in ("model", "engineer", "agent"):
        attempt = msgspec.structs.replace(run.attempt(1), author=author)
        marks.append(re.sub(r"<title>.*?</title>", "", str(sign(9, 9, attempt, None))))
    assert len(set(marks)) == 3
    assert marks[2].startswith("<rect")


def test_the_roofline_puts_a_kernel_by_its_traffic_and_its_rate(run: Transcript) -> None:
    picture = charts.roofline(run)
    across = {
        int(attempt): float(x)
        for x, attempt in re.findall(
            r'cx="([\d.]+)" cy="[\d.]+"[^>]*><title>attempt (\d+)', picture
        )
    }
    assert across[1] < across[3] < across[9], "fewer bytes for the same work lie to the right"
    y = heights(picture)
    assert y[9] < y[3] < y[1], "the same work in less time lies higher"
    assert "DRAM 4,811 GB/s" in picture
    assert "copy 4,270 GB/s" in picture


def test_where_attempts_crowd_the_best_is_named_and_no_name_is_written_over_another(
    tmp_path: Path,
) -> None:
    run = synthetic.play(tmp_path / "run", [synthetic.trials()[0]] * 12)

    picture = charts.roofline(run)

    names = re.findall(
        r'<text x="([\d.]+)" y="([\d.]+)"[^>]*font-weight="600"[^>]*>(\d+)<', picture
    )
    assert run.best is not None
    assert str(run.best.number) in [name for _, _, name in names]
    assert len(names) < 12
    places = [(float(x), float(y)) for x, y, _ in names]
    for one in places:
        near = [p for p in places if abs(p[0] - one[0]) < 20 and abs(p[1] - one[1]) < 12]
        assert near == [one]
    assert len(re.findall(r"<title>attempt \d+", picture)) == 12


def test_a_doubtful_kernel_is_no_point_of_the_roofline(run: Transcript) -> None:
    assert "attempt 6" not in charts.roofline(run)


def test_what_was_judged_on_another_machine_is_held_against_no_roof_of_this_one(
    tmp_path: Path,
) -> None:
    moved, stayed = synthetic.moved(tmp_path / "moved"), synthetic.layernorm(tmp_path / "stayed")

    roofline = charts.roofline(moved)

    assert heights(roofline) == heights(charts.roofline(stayed))
    for roof in ("DRAM 4,811 GB/s", "copy 4,270 GB/s", "eager 2,431 GFLOP/s"):
        assert roof in roofline
    assert "21 GB/s" not in roofline
    assert "roofs of NVIDIA H200; attempt 10 judged elsewhere, left out" in roofline
    assert "elsewhere" not in charts.roofline(stayed)


def test_levels_are_those_beside_which_the_best_was_judged(tmp_path: Path) -> None:
    moved, stayed = synthetic.moved(tmp_path / "moved"), synthetic.layernorm(tmp_path / "stayed")

    picture = charts.speedups(moved)

    assert references_of(moved) == references_of(stayed)
    assert 10 in heights(picture), "a ratio was measured beside its own machine's baselines"
    assert "levels of NVIDIA H200; attempt 10 judged elsewhere" in picture
    assert "elsewhere" not in charts.speedups(stayed)


def test_many_attempts_of_another_machine_are_counted_and_not_listed(tmp_path: Path) -> None:
    picture = charts.speedups(synthetic.moved(tmp_path / "run", attempts=9))

    assert "9 attempts from 10 to 18 judged elsewhere" in picture


def test_without_known_roofs_there_is_no_roofline(tmp_path: Path) -> None:
    blind = msgspec.structs.replace(synthetic.setup(), peaks=None)
    trial = msgspec.structs.replace(synthetic.trials()[0], page=None)
    assert charts.roofline(synthetic.play(tmp_path / "run", [trial], measured=blind)) == ""


def test_an_operation_without_arithmetic_has_a_roofline_of_useful_bytes(tmp_path: Path) -> None:
    setup = synthetic.setup()
    work = msgspec.structs.replace(setup.work, flops=())
    run = synthetic.play(
        tmp_path / "run",
        synthetic.trials()[:1],
        measured=msgspec.structs.replace(setup, work=work),
    )
    assert "useful bytes per byte moved" in charts.roofline(run)


def test_the_ledger_s_bars_are_as_long_as_the_turns_took(run: Transcript) -> None:
    picture = charts.ledger(run)
    bars = re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="16"', picture)
    ends: dict[float, float] = {}
    for x, y, width in bars:
        ends[float(y)] = max(ends.get(float(y), 0), float(x) + float(width))
    lengths = [end - 58 for _, end in sorted(ends.items())]
    seconds = [turn.seconds or 0 for turn in run.turns]
    assert len(lengths) == len(seconds)
    for length, took in zip(lengths, seconds, strict=True):
        assert length / lengths[0] == pytest.approx(took / seconds[0], rel=0.03)


def test_the_line_of_the_best_kernel_runs_straight(run: Transcript) -> None:
    lanes = lanes_of(parents_of(run), run.best)
    assert {lanes[attempt] for attempt in (1, 3, 4, 9)} == {0}
    assert all(lanes[attempt] > 0 for attempt in (2, 5, 6, 7, 8))


def test_no_two_lines_of_the_tree_run_over_each_other(run: Transcript) -> None:
    parents = parents_of(run)
    lanes = lanes_of(parents, run.best)
    drawn: dict[tuple[int, int], int] = {}
    for attempt, parent in parents.items():
        for row in range((parent or 0) + 1, attempt):
            other = drawn.setdefault((lanes[attempt], row), attempt)
            assert other == attempt or lanes[other] == lanes[parent or attempt]


def test_steps_of_the_engineer_stand_in_the_tree_where_they_happened(run: Transcript) -> None:
    picture = charts.tree(run)
    order = ["hint: 8192", ">3. 0.93x", "4. engineer", "veto of 6", "back to 3", "7. crashed"]
    found = [picture.index(said) for said in order]
    assert found == sorted(found)


def test_runs_are_compared_best_first_and_a_doubt_is_marked(run: Transcript) -> None:
    row = rows.run(run)
    rival = msgspec.structs.replace(row, problem="softmax", speedup=2.0, speedup_low=1.9,
                                    speedup_high=2.1, doubtful=True)  # fmt: skip
    none = msgspec.structs.replace(row, problem="conv", speedup=None)
    picture = charts.comparison([row, none, rival])
    found = [picture.index(f">{name}<") for name in ("softmax", "layernorm", "conv")]
    assert found == sorted(found)
    assert "2.00×?" in picture  # noqa: RUF001 - as it is written
    assert "nothing passed" in picture


# --- the small tools ----------------------------------------------------------------------------


def test_labels_that_would_touch_are_moved_apart_in_their_order() -> None:
    placed = spread([50, 51, 52, 200], gap=12, low=0, high=300)
    assert placed[3] == 200
    assert placed == sorted(placed)
    assert all(b - a >= 12 for a, b in pairwise(placed))


def test_labels_at_the_edge_stay_inside() -> None:
    placed = spread([298, 299, 300], gap=12, low=0, high=300)
    assert max(placed) <= 300


def test_a_scale_holds_what_lies_outside_at_its_edge() -> None:
    scale = Scale(low=0.5, high=2, start=300, end=0, log=True)
    assert scale(1) == pytest.approx(150)
    assert scale(100) == 0
    assert scale(1e-9) == 300
    assert all(scale.low <= tick <= scale.high for tick in scale.ticks())


@pytest.mark.parametrize(
    ("value", "written"),
    [(0, "0"), (71.3, "71.3"), (0.0121, "0.0121"), (4811, "4,811"), (1e9, "1.00e+09"), (-2, "-2")],
)
def test_numbers_read_as_people_write_them(value: float, written: str) -> None:
    assert number(value) == written


def test_words_are_cut_to_the_room_they_have() -> None:
    assert fit("short", 100) == "short"
    assert len(fit("x" * 100, 64)) == 10
