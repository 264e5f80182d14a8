"""A report is one file that says the truth first and runs nothing."""
# Factors are written as the page writes them.
# ruff: noqa: RUF001

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import msgspec
import pytest

from refine_agent import report
from refine_agent.records import Baseline, Hinted, Measured, Problem, Ratio, Started
from refine_agent.transcript import Transcript
from refine_agent.views import attempt as attempt_view
from tests import synthetic

if TYPE_CHECKING:
    from pathlib import Path

    from refine_agent.profiling.records import Page as ProfilePage

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """A parsed report: its text, its elements, and whether they nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert not self._open, f"never closed: {self._open[-3:]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] not in (["style"], ["script"]):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Transcript:
    return synthetic.layernorm(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture(scope="module")
def html(run: Transcript) -> str:
    return report.render([run])


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def doubtful(folder: Path) -> Transcript:
    """A run whose fastest kernel is one that nobody should believe."""
    trials = synthetic.trials()
    chosen = [trials[0], msgspec.structs.replace(trials[5], parent=1)]
    return synthetic.play(folder, chosen)


def test_the_page_needs_neither_network_nor_script(page: Page) -> None:
    kinds = [attributes.get("type") for attributes in page.all("script")]
    assert kinds == ["application/json"]
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "action", "data"):
            assert (attributes.get(name) or "#").startswith("#")
    assert not page.all("link")


def test_the_header_names_where_the_numbers_come_from(page: Page) -> None:
    for known in ("NVIDIA H200", "580.159.04", "2.11.0+cu130", "nvcc 13.0", "synthetic"):
        assert known in page.text
    assert "182be85e602398e24b76e5bd0d5f5a5073f6f383"[:12] in page.text
    assert "2026-11-18" in page.text


def test_a_run_that_moved_names_the_machine_of_its_best_kernel(tmp_path: Path) -> None:
    run = synthetic.moved(tmp_path / "run")

    text, data = Page(report.render([run])).text, report.data(run)

    assert "refined by synthetic on NVIDIA H200" in text
    assert "driver 580.159.04 · torch 2.11.0+cu130 · nvcc 13.0" in text
    assert "TF32 is allowed in float32 convolutions" in text
    assert "attempt 10 on AMD EPYC" in text
    assert "2.13.0+cpu" not in text
    assert "measured floor 62.9 µs" in text
    assert (data.run.device, data.eager_us, data.floor_us) == ("NVIDIA H200", 110.4, 62.9)


def test_the_headline_is_the_best_that_was_neither_vetoed_nor_doubted(page: Page) -> None:
    assert "1.09× faster than torch.compile" in page.text
    assert "1.080 to 1.097×" in page.text
    assert "n = 320" in page.text
    assert "1.04× (62.9 µs)" in page.text


def test_a_suspicion_stands_before_the_number_it_concerns(tmp_path: Path) -> None:
    text = Page(report.render([doubtful(tmp_path / "run")])).text
    assert text.index("Doubtful") < text.index("14.55× faster")
    assert text.index("268 MB cannot cross DRAM") < text.index("14.55× faster")
    assert "fastest without a doubt" in text


def test_a_weak_problem_is_said_before_its_number(tmp_path: Path) -> None:
    setup = synthetic.setup()
    fitness = msgspec.structs.replace(setup.fitness, accepted=("zeros",))
    weak = msgspec.structs.replace(setup, fitness=fitness)
    run = synthetic.play(tmp_path / "run", synthetic.trials()[:1], measured=weak)
    text = Page(report.render([run])).text
    assert text.index("accept zeros; no speedup means anything") < text.index("0.61×")


def test_a_speedup_whose_interval_holds_1_is_called_no_win(tmp_path: Path) -> None:
    trial = synthetic.trials()[0]
    unsure = msgspec.structs.replace(trial.verdict, speedup=Ratio(value=1.17, low=0.64, high=2.3))
    run = synthetic.play(tmp_path / "run", [msgspec.structs.replace(trial, verdict=unsure)])
    text = Page(report.render([run])).text
    assert "no difference was shown" in text
    assert "faster than" not in text


def test_an_unsealed_best_says_so(tmp_path: Path) -> None:
    run = synthetic.play(tmp_path / "run", synthetic.trials()[:1])
    assert "not sealed" in Page(report.render([run])).text


def test_failed_turns_are_kept_with_what_went_wrong(page: Page) -> None:
    assert "the mean misses the last element of a row" in page.text
    assert "kernel launch from __host__ needs a cluster-aware configuration" in page.text
    assert "Invalid __shared__ read of size 4 bytes" in page.text


def test_what_the_engineer_did_is_told_where_it_happened(page: Page) -> None:
    order = [
        "Turn 2",
        "hint 8192 floats fit the registers",
        "Turn 3",
        "veto attempt 6: It returns the first call's tensor",
        "back the next turn revises attempt 3",
        "Turn 7",
        "back the next turn revises attempt 4",
        "Turn 8",
    ]
    story = page.text[page.text.index("Turn by turn") :]
    found = [story.index(said) for said in order]
    assert found == sorted(found)


def test_a_prediction_is_shown_with_its_grade(page: Page) -> None:
    assert "traffic_ratio 1.76 → 1" in page.text
    assert "it is 1.01: confirmed" in page.text


def test_hot_lines_are_marked_in_the_source(html: str) -> None:
    hot = re.findall(r'<div class="l hot"><span class="no">(\d+)</span>(.*)</div>', html)
    lines = {int(number): re.sub("<[^>]*>", "", rest).split("◄")[0].strip() for number, rest in hot}
    for finding in (synthetic.SECOND_PASS, synthetic.SCALAR_LOADS):
        assert finding.where is not None
        number = int(finding.where.split(":")[1])
        assert lines[number] == _escaped(synthetic.TWO_PASSES.splitlines()[number - 1].strip())


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def test_each_kernel_is_compared_with_its_parent(html: str) -> None:
    assert "Difference to attempt 1" in html
    assert '<div class="l removed"><code>    for (int i = threadIdx.x; i &lt; n;' in html


def test_pictures_read_themselves_to_those_who_cannot_see_them(html: str, page: Page) -> None:
    pictures = page.all("svg")
    assert len(pictures) == 6
    assert all(picture["role"] == "img" for picture in pictures)
    for drawing in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        assert re.match(r"<svg[^>]*><title>[^<]{5,}</title><desc>[^<]{20,}</desc>", drawing)
    assert "Attempt 9 revises 4: 1.09×." in html
    assert "The best is attempt 9 at 1.09×." in html


def test_levels_in_the_picture_are_the_measured_baselines(html: str) -> None:
    for level in ("eager 110 µs", "torch.compile 71.3 µs", "floor, measured 62.9 µs"):
        assert level in html


def test_links_lead_somewhere(page: Page) -> None:
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    targets = {attributes["href"] for attributes in page.all("a")}
    assert targets
    assert all(target is not None and target[1:] in ids for target in targets)


def test_programs_find_the_rows_of_the_frames_in_the_page(html: str, run: Transcript) -> None:
    block = re.search(
        r'<script type="application/json" id="refine-agent-data">(.*?)</script>', html, re.DOTALL
    )
    assert block is not None
    (found,) = json.loads(block[1])
    assert [row["attempt"] for row in found["attempts"]] == list(range(1, 10))
    assert found["run"]["speedup"] == pytest.approx(1.0885, abs=1e-3)
    assert str(run.folder.parent) not in html, "a report is sent around"


def test_a_problem_without_compiled_baseline_or_floor_has_a_report(tmp_path: Path) -> None:
    setup = msgspec.structs.replace(
        synthetic.setup(),
        baseline=Baseline(eager=synthetic.timing(110), compiled=None, why_not_compiled="no g++"),
        floor_us=None,
        bound_us=None,
        peaks=None,
    )
    trial = synthetic.trials()[0]
    verdict = msgspec.structs.replace(trial.verdict, compiled=None, vs_compiled=None)
    bare = msgspec.structs.replace(trial, page=None, verdict=verdict)
    text = Page(report.render([synthetic.play(tmp_path / "run", [bare], measured=setup)])).text
    assert "the speed of eager PyTorch" in text
    assert "torch.compile 71" not in text


def test_a_run_that_only_began_has_a_report(tmp_path: Path) -> None:
    with Transcript.create(tmp_path / "run", synthetic.started()) as run:
        assert "no attempt yet" in Page(report.render([run])).text


def test_several_runs_are_compared_before_they_are_told(tmp_path: Path) -> None:
    first = synthetic.layernorm(tmp_path / "first")
    second = synthetic.layernorm(tmp_path / "second", attempts=4)
    text = Page(report.render([first, second])).text
    assert "2 runs compared" in text
    table = text[: text.index("Turn by turn")]
    assert "1.09×" in table
    assert "0.98×" in table


def test_no_run_is_said_in_a_sentence() -> None:
    with pytest.raises(ValueError, match="no run to report on"):
        report.render([])


# --- hostile transcripts ------------------------------------------------------------------------

SCRIPT = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
UNSEEN = "\x00\x07\x1b[31m\x9b\u202e\u2066\u200b\ufeff\U000e0041"


def hostile(folder: Path) -> Transcript:
    """A run whose every free text attacks the reader."""
    text = f"{SCRIPT}{UNSEEN}{{{{7*7}}}}<!--"
    transcript = Transcript.create(folder, hostile_start(text))
    clock = synthetic.Clock()
    setup = synthetic.setup()
    environment = msgspec.structs.replace(setup.environment, device=text, driver=text, torch=text)
    fitness = msgspec.structs.replace(
        setup.fitness, cases=(text,), rejected=(text,), inputs=(text,)
    )
    setup = msgspec.structs.replace(
        setup, environment=environment, fitness=fitness, ceilings=(text,)
    )
    transcript.record(Measured(at=clock.after(1), setup=setup))
    for number, trial in enumerate(synthetic.trials(), 1):
        transcript.record(Hinted(at=clock.after(1), text=text))
        synthetic.take(transcript, number, infected(trial, text), clock)
    transcript.close()
    return Transcript.read(folder)


def hostile_start(text: str) -> Started:
    start = synthetic.started(problem=text)
    return msgspec.structs.replace(
        start,
        model=text,
        run=text,
        git_commit=text,
        version=text,
        problem=Problem(name=text, source=f"'''{text}'''"),
    )


FREE = {"idea", "reason", "log", "map", "where", "case", "during", "text", "source", "shape"}


def infected(trial: synthetic.Trial, text: str) -> synthetic.Trial:
    """The same trial with ``text`` added wherever its author or its kernel can choose words."""
    raw = msgspec.to_builtins(msgspec.structs.replace(trial, before=()))
    page = raw["page"] or {"findings": [], "metrics": [], "kernels": []}
    for part in (raw, raw["verdict"], raw["grade"] or {}, page):
        part.update({name: value + text for name, value in part.items() if name in FREE and value})
    for finding in page["findings"]:
        finding.update(dict.fromkeys(("kind", "text", "advice", "where", "kernel"), text))
    for metric in page["metrics"][:3]:
        metric.update(dict.fromkeys(("key", "unit", "kernel"), text))
    for kernel in page["kernels"]:
        kernel.update(dict.fromkeys(("name", "grid", "block"), text))
    page["lines"] = [text]
    return msgspec.structs.replace(msgspec.convert(raw, synthetic.Trial), before=trial.before)


def page_of(run: Transcript, attempt: int) -> ProfilePage:
    page = run.attempt(attempt).page
    assert page is not None
    return page


def test_nothing_a_model_or_a_candidate_wrote_is_markup(tmp_path: Path) -> None:
    run = hostile(tmp_path / "run")
    assert len(run.attempts) == 9
    for text in (
        report.render([run]),
        report.render([run, run]),
        report.transcript_html(run),
        report.live_html(run, report.Doing(phase=SCRIPT)),
        report.difference_html(run.attempt(1), run.attempt(3), page_of(run, 3).changed),
        *(report.attempt_html(attempt) for attempt in run.attempts),
        *(report.turn_html(turn) for turn in run.turns),
        *(report.page_html(a.page) for a in run.attempts if a.page is not None),
    ):
        page = Page(text)
        assert not page.all("img")
        assert all(s.get("type") == "application/json" for s in page.all("script"))
        assert "<!--" not in text
        said = "alert(1)" in page.text
        assert said or "alert" not in text, "what was written is shown, if at all, as text"
        assert not said or "{{7*7}}" in page.text, "a template in a reply is text too"


def test_what_cannot_be_seen_is_made_visible(tmp_path: Path) -> None:
    text = report.render([hostile(tmp_path / "run")])
    for letter in UNSEEN:
        if letter not in "[31m":
            assert letter not in text, f"U+{ord(letter):04X}"
    assert "⟨U+202E⟩" in text
    assert "␛" in text


def test_ten_megabyte_lines_and_broken_lines_make_a_page_of_bounded_size(tmp_path: Path) -> None:
    big = "x" * 10_000_000
    first, *others = synthetic.trials()[:3]
    trials = [infected(first, "\n" + big), *others]
    run = synthetic.play(tmp_path / "run", trials)
    events = run.folder / "events.jsonl"
    with events.open("ab") as file:
        file.write(b'{"event":"hinted","at":1,"text":"\xff\xfe"}\n')
        file.write(b'{"event":"nobody"}\n[]\n\x00\n{"event":"hinted","at":')
    run = Transcript.read(run.folder)
    assert run.damaged
    text = report.render([run])
    assert len(text) < 3_000_000
    assert "more characters" in text
    assert "damaged lines" in Page(text).text


def test_numbers_that_no_axis_holds_are_left_out_of_the_pictures(tmp_path: Path) -> None:
    odd = [0.0, -5.0, 1e308, 5e-324, 1e-9]
    trials = [
        msgspec.structs.replace(trial, verdict=synthetic.passed(71.3))
        for trial in synthetic.trials()[:5]
    ]
    for place, value in enumerate(odd):
        verdict = trials[place].verdict
        ratio = synthetic.ratio(1.0)
        odd_ratio = msgspec.structs.replace(ratio, value=value, low=value, high=value)
        odd_timing = msgspec.structs.replace(synthetic.timing(1), median_us=value)
        trials[place] = msgspec.structs.replace(
            trials[place],
            page=None,
            sealed=None,
            verdict=msgspec.structs.replace(
                verdict, speedup=odd_ratio, vs_eager=odd_ratio, timing=odd_timing
            ),
        )
    run = synthetic.play(tmp_path / "run", trials)
    text = report.render([run])
    assert "nan" not in re.sub(r"[a-z]+nan|nan[a-z]+", "", text.lower())
    assert 'cx="inf' not in text
    Page(text)
    Page(report.transcript_html(run))


def test_a_cycle_of_parents_and_a_parent_from_the_future_do_not_hang_the_tree(
    tmp_path: Path,
) -> None:
    trials = list(synthetic.trials()[:3])
    for place, parent in enumerate((3, 1, 10**12)):
        trials[place] = msgspec.structs.replace(trials[place], parent=parent)
    Page(report.render([synthetic.play(tmp_path / "run", trials)]))


def test_a_single_call_that_takes_less_than_its_kernel_is_not_shown() -> None:
    """Recordings hold some: too much was taken off them as the judge's own cost."""
    honest = synthetic.passed(100.0)
    short = synthetic.passed(100.0, call=synthetic.timing(12.0))

    assert honest.single == honest.call
    assert short.single is None
    assert any("launch included" in row.name for row in attempt_view._timings(honest, None))
    assert not any("launch included" in row.name for row in attempt_view._timings(short, None))


# --- caches ---------------------------------------------------------------------------------------


def test_only_a_gpus_times_are_said_to_be_from_a_cold_cache(tmp_path: Path) -> None:
    # On a CPU the judge flushes nothing.
    on_gpu = synthetic.layernorm(tmp_path / "gpu")
    on_cpu = Transcript.create(tmp_path / "cpu", hostile_start("plain"))
    setup = synthetic.setup()
    there = msgspec.structs.replace(setup.environment, device_kind="cpu")
    setup = msgspec.structs.replace(setup, environment=there)
    on_cpu.record(Measured(at=synthetic.Clock().after(1), setup=setup))
    cold, warm = "on a GPU the L2 is cold", "on a CPU the caches are not flushed"
    for runs, said in (
        ([on_gpu], (True, False)),
        ([on_cpu], (False, True)),
        ([on_gpu, on_cpu], (True, True)),
    ):
        text = Page(report.render(runs)).text
        assert (cold in text, warm in text) == said
