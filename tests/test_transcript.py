"""The transcript on disk: what a kill, a hostile file, a second writer and a secret do to it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from refine_agent import rows
from refine_agent import transcript as module
from refine_agent.loop import refine
from refine_agent.records import (
    Budget,
    Candidate,
    Hinted,
    Judged,
    Measured,
    Offered,
    Options,
    Passed,
    Problem,
    Reply,
    Resumed,
    Started,
    Stopped,
    Suspicion,
)
from refine_agent.standins import ScriptedAuthor, ScriptedBench, kernel, passed, setup
from refine_agent.transcript import (
    BLOBS,
    EVENTS,
    LOCK,
    RECORDED,
    SCHEMA,
    Transcript,
    TranscriptError,
    is_being_written,
    runs_in,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
RUNS_BEGUN = 400
LONG = "// a long kernel\n" * 200


def header(name: str = "run", *, samples: int = 1) -> Started:
    return Started(
        at=0.0,
        schema=SCHEMA,
        run=name,
        problem=Problem(name="scale", source="class Model: ..."),
        model="script",
        options=Options(budget=Budget(turns=3), samples=samples),
        templates={},
        version="0",
    )


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A finished run of three turns, with a reply that is long enough to be a blob."""
    replies = [kernel(speedup=1.2, note=LONG.replace("\n", " ")), "no code", kernel(speedup=1.7)]
    with Transcript.create(tmp_path / "run", header()) as run:
        list(refine(run, ScriptedAuthor(replies), ScriptedBench()))
        run.record(Stopped(at=1.0, reason="3 of 3 turns taken", resumable=False))
    return tmp_path / "run"


# --- what is written is what is read ---------------------------------------------------------


def test_a_run_reads_back_as_it_was_written(tmp_path: Path) -> None:
    with Transcript.create(tmp_path / "run", header()) as written:
        list(refine(written, ScriptedAuthor([kernel(speedup=1.5)] * 3), ScriptedBench()))

        read = Transcript.read(tmp_path / "run")

    assert read.events == written.events
    assert read.turns == written.turns
    assert read.damaged == []


def test_long_texts_live_once_each_in_files_named_by_their_content(whole: Path) -> None:
    lines = (whole / EVENTS).read_text()
    blobs = [path for path in (whole / BLOBS).rglob("*") if path.is_file()]

    assert LONG.replace("\n", " ") not in lines
    assert all(len(path.parent.name + path.name) == 64 for path in blobs)
    assert (
        "a long kernel"
        in (Transcript.read(whole).attempts[0].reply or Reply(text="", model="", answers="")).text
    )


def test_a_list_of_runs_reads_no_blob(whole: Path) -> None:
    for path in (whole / BLOBS).rglob("*"):
        if path.is_file():
            path.unlink()

    run = Transcript.read(whole, texts=False)

    assert run.best is not None
    assert run.best.speedup == 1.7
    assert run.damaged == []


def test_what_is_recorded_is_on_the_disk_before_anyone_is_told(tmp_path: Path) -> None:
    seen: list[int] = []
    with Transcript.create(tmp_path / "run", header()) as run:
        run.listeners.append(
            lambda _event: seen.append((tmp_path / "run" / EVENTS).read_text().count("\n"))
        )
        run.record(Hinted(at=1.0, text="one"))
        run.record(Hinted(at=2.0, text="two"))

    assert seen == [2, 3]


# --- kills -----------------------------------------------------------------------------------


def test_a_cut_last_line_is_dropped_and_the_run_goes_on(whole: Path) -> None:
    content = (whole / EVENTS).read_bytes()
    lines = content.splitlines(keepends=True)
    for cut in (1, len(lines[-1]) // 2, len(lines[-1]) - 1):
        (whole / EVENTS).write_bytes(content[:-cut])

        with Transcript.open(whole) as run:
            run.record(Hinted(at=9.0, text="still here"))

        read = Transcript.read(whole)
        assert read.damaged == []
        assert len(read.events) == len(lines)
        assert isinstance(read.events[-1], Hinted)


def test_a_run_can_be_read_while_its_last_line_is_being_written(whole: Path) -> None:
    content = (whole / EVENTS).read_bytes()
    (whole / EVENTS).write_bytes(content[:-20])

    run = Transcript.read(whole)

    assert len(run.events) == content.count(b"\n") - 1
    assert "cut off" in run.damaged[0]
    assert (whole / EVENTS).read_bytes() == content[:-20]


def test_a_line_torn_by_an_interrupt_does_not_spoil_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Transcript.create(tmp_path / "run", header()) as run:

        def interrupted(_handle: int) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", interrupted)
            with pytest.raises(KeyboardInterrupt):
                run.record(Hinted(at=1.0, text="torn"))
        with (tmp_path / "run" / EVENTS).open("rb+") as file:
            file.truncate((tmp_path / "run" / EVENTS).stat().st_size - 5)
        run.record(Stopped(at=2.0, reason="interrupted"))

    read = Transcript.read(tmp_path / "run")
    assert isinstance(read.events[-1], Stopped)
    assert len(read.damaged) == 1


# --- one writer ------------------------------------------------------------------------------


def test_a_second_writer_is_told_how_to_steer_instead(tmp_path: Path) -> None:
    with Transcript.create(tmp_path / "run", header()):
        with pytest.raises(TranscriptError, match=r"another process is writing .* hint"):
            Transcript.open(tmp_path / "run")
        assert Transcript.read(tmp_path / "run").started.run == "run"

    Transcript.open(tmp_path / "run").close()


def test_a_reader_cannot_write(whole: Path) -> None:
    with pytest.raises(TranscriptError, match="opened for reading"):
        Transcript.read(whole).record(Hinted(at=1.0, text="no"))


# --- secrets ---------------------------------------------------------------------------------


def test_no_key_and_no_home_reaches_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-42")
    home = str(Path.home())
    said = f"key sk-very-secret-42 from {home}/notes.txt, " + "x" * 2000
    with Transcript.create(tmp_path / "run", header()) as run:
        run.record(Hinted(at=1.0, text=said))
        run.record(Hinted(at=1.0, text="short sk-very-secret-42"))
        in_memory = run.hints

    written = b"".join(p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file())
    assert b"sk-very-secret-42" not in written
    assert f"{home}/".encode() not in written
    assert b"[OPENAI_API_KEY]" in written
    assert in_memory == Transcript.read(tmp_path / "run").hints


# --- hostile files ---------------------------------------------------------------------------


def hostile_lines() -> Iterator[bytes]:
    yield b"not json at all"
    yield b"[" * 100_000
    yield b'{"event":"hinted","at":1,"text":"x","more":' + b"[" * 100_000
    yield b'["blob:sha256:",' + b"[" * 100_000
    yield b'{"event":"hinted","at":1,"text":"\xff\xfe broken UTF-8"}'
    yield b'{"event":"hinted","at":1,"text":"\\ud800 half a pair"}'
    yield b'{"event":"from the future","at":1}'
    yield b'{"event":"sealed","at":1,"attempt":77,"verdict":{"verdict":"Unreadable","reason":""}}'
    yield b'{"event":"hinted","at":"never","text":5}'
    yield b'{"event":"turn","turn":1e99}'
    yield b"\x00" * 1000
    yield b'{"event":"hinted","at":1,"text":"blob:sha256:../../../../etc/passwd"}'


def test_lines_that_nobody_of_ours_wrote_are_named_and_passed_over(whole: Path) -> None:
    before = Transcript.read(whole)
    lines = (whole / EVENTS).read_bytes().splitlines()
    (whole / EVENTS).write_bytes(b"\n".join([*lines[:-1], *hostile_lines(), lines[-1]]) + b"\n")

    run = Transcript.read(whole)

    assert run.turns == before.turns
    assert len(run.damaged) >= 8
    assert all(damage.startswith("line ") for damage in run.damaged)


def test_a_blob_named_by_a_path_is_not_opened(whole: Path) -> None:
    line = b'{"event":"hinted","at":1,"text":"blob:sha256:../../../../../../etc/passwd"}\n'
    with (whole / EVENTS).open("ab") as file:
        file.write(line)

    (said,) = (e for e in Transcript.read(whole).events if isinstance(e, Hinted))

    assert "root:" not in said.text
    assert "not the name of a blob" in said.text


def test_a_changed_blob_is_not_taken_for_what_was_said(whole: Path) -> None:
    for path in (whole / BLOBS).rglob("*"):
        if path.is_file():
            path.write_bytes(b"class ModelNew: cheat = True")

    reply = Transcript.read(whole).attempts[0].reply

    assert reply is not None
    assert "was changed after it was written" in reply.text


@pytest.mark.parametrize("harm", ["missing", "changed"])
def test_a_text_that_is_not_there_is_named_and_the_run_is_not_gone_on_with(
    whole: Path, harm: str
) -> None:
    before = Transcript.read(whole).attempts[0]
    assert before.candidate is not None
    name = hurt(whole, before.candidate.source, harm)

    run = Transcript.read(whole)

    assert run.attempts[0].verdict == before.verdict
    assert run.attempts[0].candidate is None
    (damage,) = run.damaged
    assert re.match(rf"line \d+: blob {name[:12]} (cannot be read|was changed)", damage)
    content = (whole / EVENTS).read_bytes()
    with pytest.raises(TranscriptError, match=rf"is not whole: line \d+: blob {name[:12]}"):
        Transcript.open(whole)
    assert (whole / EVENTS).read_bytes() == content
    assert not is_being_written(whole)


def hurt(run: Path, text: str, harm: str) -> str:
    """Take a text away from a run, or change it; return its name."""
    name = sha256(text.encode()).hexdigest()
    path = run / BLOBS / name[:2] / name[2:]
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes(b"class ModelNew: cheat = True")
    return name


def test_a_run_that_ships_is_not_opened_for_writing() -> None:
    with pytest.raises(TranscriptError, match=r"ships with refine_agent.*recorded:layernorm-cpu"):
        Transcript.open(RECORDED / "layernorm-cpu")
    assert not (RECORDED / "layernorm-cpu" / LOCK).exists()


def test_ten_megabytes_in_a_line_are_read_and_a_hundred_are_passed_over(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_LINE_BYTES", 1 << 20)
    big = json.dumps({"event": "hinted", "at": 1, "text": "a" * (1 << 19)}).encode()
    huge = json.dumps({"event": "hinted", "at": 1, "text": "b" * (10 << 20)}).encode()
    last = b'{"event":"hinted","at":2,"text":"after"}'
    with (whole / EVENTS).open("ab") as file:
        file.write(b"\n".join([big, huge, last]) + b"\n")

    run = Transcript.read(whole)

    said = [event.text[:5] for event in run.events if isinstance(event, Hinted)]
    assert said == ["aaaaa", "after"]
    assert "longer than" in run.damaged[0]


def test_half_a_surrogate_pair_in_a_reply_does_not_stop_the_run(tmp_path: Path) -> None:
    with Transcript.create(tmp_path / "run", header()) as run:
        run.record(Hinted(at=1.0, text="cut \ud83d off"))
        run.record(Hinted(at=1.0, text="cut \ud83d off" + "x" * 2000))

    read = Transcript.read(tmp_path / "run")
    assert read.damaged == []
    assert read.hints == run.hints


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"{}\n", b'{"event":"hinted","at":1,"text":"x"}\n', b"\xff" * 100]
)
def test_a_file_without_a_header_is_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / EVENTS).write_bytes(content)

    with pytest.raises(TranscriptError, match="not a transcript"):
        Transcript.read(tmp_path / "run")


def test_a_run_of_a_newer_format_can_be_looked_at_and_is_not_written(whole: Path) -> None:
    path = whole / EVENTS
    header, _, rest = path.read_bytes().partition(b"\n")
    path.write_bytes(header.replace(b'"schema":1', b'"schema":2') + b"\n" + rest)

    run = Transcript.read(whole)

    assert "format 2 is newer than 1" in run.damaged[0]
    assert run.attempts
    with pytest.raises(TranscriptError, match="update refine_agent to go on with it"):
        Transcript.open(whole)
    assert path.read_bytes().endswith(rest)
    assert not is_being_written(whole)


def test_a_folder_that_holds_no_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(TranscriptError, match="holds no run"):
        Transcript.open(tmp_path)


def test_runs_are_found_oldest_first_and_other_folders_are_passed_over(tmp_path: Path) -> None:
    for name in ("20260102-000000-aa-b", "20260101-000000-aa-a"):
        Transcript.create(tmp_path / name, header(name)).close()
    (tmp_path / "notes").mkdir()

    assert [path.name[:8] for path in runs_in(tmp_path)] == ["20260101", "20260102"]
    assert runs_in(tmp_path / "nowhere") == []


# --- who offered what, and doubts that a later examination settles -------------------------------


def test_an_offer_of_before_agents_were_told_apart_is_the_engineers(whole: Path) -> None:
    line = b'{"event":"offered","at":9.0,"turn":9,"attempt":9,"source":"class ModelNew: ..."}\n'
    with (whole / EVENTS).open("ab") as file:
        file.write(line)
        file.write(
            line.replace(b'"turn":9,"attempt":9', b'"turn":10,"attempt":10,"author":"agent"')
        )

    run = Transcript.read(whole)

    assert [run.attempt(number).author for number in (9, 10)] == ["engineer", "agent"]
    assert run.damaged == []


DOUBT = Suspicion(kind="weak problem", evidence="the mean passes")
OTHER = Suspicion(kind="incredible", evidence="3x torch.compile")


@pytest.fixture
def weak(tmp_path: Path) -> Iterator[Transcript]:
    """A run on a problem that an impostor passes, with one kernel that passed."""
    with Transcript.create(tmp_path / "weak", header()) as run:
        examined = replace(setup().fitness, accepted=("the mean everywhere",))
        run.record(Measured(at=1.0, setup=replace(setup(), fitness=examined)))
        judge(run, 1, replace(passed(1.5), suspicions=(DOUBT, OTHER)))
        yield run


def judge(run: Transcript, attempt: int, verdict: Passed) -> None:
    run.record(Offered(at=2.0, turn=attempt, attempt=attempt, source="class ModelNew: ..."))
    candidate = Candidate(source="class ModelNew: ...", author="engineer")
    run.record(Judged(at=3.0, turn=attempt, attempt=attempt, verdict=verdict, candidate=candidate))


def doubts(run: Transcript, attempt: int) -> list[str]:
    verdict = run.attempt(attempt).verdict
    assert isinstance(verdict, Passed)
    return [doubt.kind for doubt in verdict.suspicions]


def test_a_weakness_that_the_problem_no_longer_has_is_no_doubt_of_the_present(
    weak: Transcript,
) -> None:
    assert weak.weak
    assert doubts(weak, 1) == ["weak problem", "incredible"]

    weak.record(Measured(at=4.0, setup=setup()))

    assert not weak.weak
    assert doubts(weak, 1) == ["incredible"]
    assert doubts(Transcript.read(weak.folder), 1) == ["incredible"]


def test_a_verdict_of_a_run_taken_up_again_tells_that_the_weakness_is_gone(
    weak: Transcript,
) -> None:
    weak.record(Resumed(at=4.0))
    assert weak.weak, "to take it up again is not to examine it"

    judge(weak, 2, passed(1.6))

    assert not weak.weak
    assert doubts(weak, 1) == ["incredible"]


def test_a_verdict_without_the_doubt_settles_nothing_in_the_same_sitting(weak: Transcript) -> None:
    judge(weak, 2, passed(1.6))

    assert weak.weak
    assert doubts(weak, 1) == ["weak problem", "incredible"]


def test_an_attempt_is_held_against_the_floor_it_was_judged_beside(tmp_path: Path) -> None:
    with Transcript.create(tmp_path / "moved", header()) as run:
        for attempt, floor_us in ((1, 400.0), (2, 50.0)):
            run.record(Measured(at=1.0, setup=replace(setup(), floor_us=floor_us)))
            judge(run, attempt, passed(2.0))

        assert [row.floor_ratio for row in rows.attempts(run)] == [1.0, 8.0]


def test_whether_a_process_writes_a_run_can_be_asked_without_disturbing_it(whole: Path) -> None:
    assert not is_being_written(whole)
    with Transcript.open(whole):
        assert is_being_written(whole)
    assert not is_being_written(whole)
    with Transcript.open(whole):
        pass


def test_a_run_that_is_being_begun_is_not_there_or_has_its_header(tmp_path: Path) -> None:
    """Whoever lists runs meanwhile reads every one of them."""
    begin = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.test_transcript import header\n"
        "from refine_agent.transcript import Transcript\n"
        f"for number in range({RUNS_BEGUN}):\n"
        "    Transcript.create(Path(sys.argv[1]) / f'run{number:03}', header()).close()\n"
    )
    beginner = subprocess.Popen([sys.executable, "-c", begin, str(tmp_path)], cwd=ROOT)

    for number in range(RUNS_BEGUN):
        folder = tmp_path / f"run{number:03}"
        while not os.path.exists(folder / EVENTS):  # noqa: PTH110 - the sooner the better
            assert beginner.poll() in (None, 0)
        assert Transcript.read(folder).started.run == "run"

    assert beginner.wait(timeout=30) == 0
