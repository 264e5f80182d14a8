"""Looking at runs offline: light, complete, and safe whatever is in them."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.text import Text

from refine_agent import rows
from refine_agent.cli.faults import exit_code_of, sentence_of
from refine_agent.cli.screen import Output, Screen
from refine_agent.records import Budget, Options, Problem, Reply
from refine_agent.session import Session
from refine_agent.standins import ScriptedAuthor, ScriptedBench, kernel, source
from refine_agent.transcript import EVENTS, RECORDED, Transcript
from refine_agent.views.run import run_view

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "litellm", "pandas", "jinja2", "numpy", "mcp", "refine_agent.loop")
EVIL = "\x1b]0;owned\x07\x1b[2J<script>alert(1)</script>\u202e\r[bold]not markup[/bold]"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with every kind of line, in which the model's words are hostile."""
    replies = [
        kernel(speedup=1.2, idea=f"one pass {EVIL}"),
        f"only words {EVIL}",
        kernel(says=f"mismatch: last tile {EVIL}"),
        kernel(speedup=1.8, idea="rows in registers"),
    ]
    session = Session.start(
        Problem(name="scale", source="class Model: ...\n"),
        options=Options(budget=Budget(turns=4)),
        runs=tmp_path_factory.mktemp("runs"),
        author=ScriptedAuthor(replies),
        bench=ScriptedBench(),
    )
    with session:
        session.run(turns=3)
        session.hint(f"use float4 {EVIL}")
        session.offer(source(speedup=1.5), idea="mine")
        session.veto(1, f"too slow {EVIL}")
        session.run()
    return session.transcript.folder


def refine_agent(
    *arguments: str | Path, python: tuple[str, ...] = (), cwd: Path | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    plain = {"PYTHONPATH": str(ROOT), "COLUMNS": "160", "PAGER": "cat"}
    return subprocess.run(
        [sys.executable, *(python or ("-m", "refine_agent")), *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **plain, **more},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def loaded_by(*arguments: str | Path) -> set[str]:
    """Return which heavy modules a command loads, in a process of its own."""
    code = (
        "import sys, refine_agent.cli\n"
        "try: refine_agent.cli.main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        f"print('LOADED', *[m for m in {(*HEAVY, 'rich')!r} if m in sys.modules])"
    )
    out = refine_agent(*arguments, python=("-c", code)).stdout
    return set(out.splitlines()[-1].split()[1:])


# --- light -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["optimize", "--help"], ["show", "--help"], ["--version"]],
    ids=" ".join,
)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    assert loaded_by(*arguments) == set()


def test_show_loads_nothing_heavy_but_rich(run: Path) -> None:
    assert loaded_by("show", run) <= {"rich"}
    assert loaded_by("show", "--runs", run.parent) <= {"rich"}
    assert loaded_by("show", run, "--turn", "1") == set()
    assert loaded_by("show", run, "--json") == set()


def test_a_bad_problem_is_refused_without_loading_anything_heavy(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("x = 1\n")

    assert loaded_by("optimize", tmp_path / "bad.py") & {"torch", "litellm", "pandas"} == set()


def test_a_python_that_lacks_what_is_needed_says_how_to_get_it() -> None:
    done = refine_agent("--version", python=("-S", "-m", "refine_agent"))

    assert done.returncode == 3
    assert "has no " in done.stderr
    assert ". .venv/bin/activate" in done.stderr
    assert "Traceback" not in done.stderr


# --- complete --------------------------------------------------------------------------------


def test_a_run_is_shown_with_every_turn_and_what_the_engineer_did(run: Path) -> None:
    out = refine_agent("show", run).stdout

    for words in ("1.20x", "unreadable", "wrong: last tile", "engineer", "1.80x"):
        assert words in out
    assert "hint: use float4" in out
    assert "veto of #1: too slow" in out
    assert "4 of 4 turns taken" in out


def test_a_turn_is_shown_whole(run: Path) -> None:
    out = refine_agent("show", run, "--turn", "1").stdout

    for words in ("prompt · system", "prompt · user", "reply", "verdict", "profile", "seconds"):
        assert words in out
    assert "class ModelNew" in out
    assert "vetoed by the engineer" in out


def test_a_turn_that_is_not_there_says_how_many_there_are(run: Path) -> None:
    done = refine_agent("show", run, "--turn", "99")

    assert done.returncode == 2
    assert "no turn 99" in done.stderr


def test_json_holds_the_run_its_attempts_and_its_seconds(run: Path) -> None:
    rows = [json.loads(line) for line in refine_agent("show", run, "--json").stdout.splitlines()]

    assert rows[0]["speedup"] == 1.8
    assert [row["attempt"] for row in rows if "attempt" in row] == [1, 2, 3, 4, 5]
    assert any(row.get("phase") == "overhead" for row in rows)


def test_runs_are_listed_and_filtered_by_problem(run: Path) -> None:
    listed = refine_agent("show", "--runs", run.parent).stdout
    filtered = refine_agent("show", "--runs", run.parent, "--problem", "other").stdout

    assert run.name in listed
    assert "1.80x" in listed
    assert run.name not in filtered


def test_runs_are_found_by_the_beginning_of_their_name_and_as_the_last(run: Path) -> None:
    whole = refine_agent("show", run).stdout

    assert refine_agent("show", run.name[:12], "--runs", run.parent).stdout == whole
    assert refine_agent("show", "last", "--runs", run.parent).stdout == whole
    nothing = refine_agent("show", "nonsense", "--runs", run.parent)
    assert nothing.returncode == 2
    assert "lists the runs" in nothing.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--turn", "2"], "--turn is of a run; name it: show RUN --turn 2"),
        (["RUN", "--problem", "scale"], "--problem chooses among all runs"),
    ],
    ids=["turn", "problem"],
)
def test_an_option_that_would_mean_nothing_is_refused(
    run: Path, arguments: list[str], sentence: str
) -> None:
    done = refine_agent("show", *(run if each == "RUN" else each for each in arguments))

    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr


def test_two_attempts_are_compared(run: Path) -> None:
    out = refine_agent("diff", run, "1", "5").stdout

    assert "-# speedup: 1.2" in out
    assert "+# speedup: 1.8" in out


def test_a_report_is_one_file_beside_the_run(run: Path, tmp_path: Path) -> None:
    done = refine_agent("report", run, "-o", tmp_path / "report.html")

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report.html").read_text().lstrip().lower().startswith("<!doctype html>")


def test_the_report_of_a_run_that_ships_lands_here_and_not_where_it_is_installed(
    tmp_path: Path,
) -> None:
    done = refine_agent("report", "layernorm-cpu", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert done.stdout == "layernorm-cpu.html\n"
    assert (tmp_path / "layernorm-cpu.html").exists()
    assert not (RECORDED / "layernorm-cpu" / "report.html").exists()


def test_a_place_that_may_not_be_written_is_named_with_another_way(
    run: Path,
) -> None:
    refused = PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(run / "report.html"))

    assert exit_code_of(refused) == 3
    assert sentence_of(refused).endswith("name another place (--runs DIR, --output FILE)")


@pytest.mark.parametrize(
    "arguments",
    [["show", "RUN"], ["show", "RUN", "--turn", "1"], ["show", "RUN", "--json"], ["export", "RUN"]],
    ids=" ".join,
)
def test_a_reader_who_has_seen_enough_is_no_error(run: Path, arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "refine_agent", *(str(run) if a == "RUN" else a for a in arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PAGER": "cat"},
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(writing)

    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_without_utf_8_gets_question_marks_and_a_file_every_byte(
    run: Path, tmp_path: Path
) -> None:
    shown = refine_agent("show", run, PYTHONIOENCODING="ascii")
    refine_agent("export", run, "-o", tmp_path / "winner.py")
    exported = subprocess.run(
        [sys.executable, "-m", "refine_agent", "export", str(run)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )

    assert shown.returncode == 0, shown.stderr
    assert "1.80x ????" in shown.stdout
    assert exported.stdout == (tmp_path / "winner.py").read_bytes()
    assert "µs" in exported.stdout.decode()


def test_eighty_columns_hold_a_line_per_attempt_and_every_name_and_number(run: Path) -> None:
    screen = io.StringIO()
    console = Output(file=screen, width=80, force_terminal=True, highlight=False, soft_wrap=True)

    Screen(console).replay(Transcript.read(run))

    lines = [Text.from_ansi(line).plain for line in screen.getvalue().splitlines()]
    attempts = [line for line in lines if re.match(r" +\d+  #", line)]
    assert len(attempts) == 5
    assert all(len(line) <= 80 for line in attempts)
    assert attempts[0].endswith("…")
    listed = refine_agent("show", "--runs", run.parent, COLUMNS="80").stdout.splitlines()
    assert all(len(line) <= 80 for line in listed)
    assert any(run.name in line and "1.80x" in line for line in listed)
    seconds = refine_agent("show", run, COLUMNS="80").stdout
    assert re.search(r"^turn 4( +\d+\.\d)+ *$", seconds, re.MULTILINE)


@pytest.mark.parametrize(
    ("costs", "says"),
    [
        ((), "$0.00 of $5.00"),
        ((0.25, 0.5), "$0.75 of $5.00"),
        ((None,), "cost unknown, limit $5.00"),
        ((0.25, None), "cost $0.25 and unknown, limit $5.00"),
    ],
)
def test_the_line_that_moves_never_takes_an_unknown_price_for_nothing(
    tmp_path: Path, costs: tuple[float | None, ...], says: str
) -> None:
    replies = [
        Reply(text=kernel(speedup=1.2), model="served", answers="-", cost_usd=cost)
        for cost in costs
    ]
    session = Session.start(
        Problem(name="scale", source="class Model: ...\n"),
        options=Options(budget=Budget(turns=9, usd=5.0)),
        runs=tmp_path,
        author=ScriptedAuthor(replies),
        bench=ScriptedBench(),
    )
    with session:
        for _ in replies:
            session.step()
        screen = Screen(Output(file=io.StringIO(), width=160, force_terminal=False))
        screen.follow(session.transcript)
        screen.phase("build")
        assert f" taken · {says}" in screen.__rich__().plain
    paid = sum(cost for cost in costs if cost is not None)
    unknown = None in costs
    assert rows.cost_usd(session.transcript) == (paid if costs and not unknown else None)
    shown = rf"^ *cost +{f'.{paid:.2f} and ' if paid else ''}unknown *$"
    page = refine_agent("show", session.transcript.folder).stdout
    assert bool(re.search(shown, page, re.MULTILINE)) == unknown
    facts = {fact.name: fact.value for fact in run_view(session.transcript, key="a").environment}
    assert facts.get("cost", "").endswith("unknown") == unknown


@pytest.mark.parametrize("content", [None, b"", b"junk", b"NVR\0" + b"\xff" * 500])
def test_a_file_that_is_no_profilers_report_is_refused_in_one_sentence(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "some.ncu-rep"
    if content is not None:
        path.write_bytes(content)

    done = refine_agent("profile", path)

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "some.ncu-rep" in done.stderr


# --- safe ------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [[], ["--turn", "1"], ["--turn", "2"], ["--turn", "3"]])
def test_nothing_a_model_wrote_reaches_the_terminal_raw(run: Path, more: list[str]) -> None:
    out = refine_agent("show", run, *more).stdout

    assert "\x1b" not in out
    assert "\x07" not in out
    assert "\u202e" not in out
    assert "\r" not in out


def test_a_damaged_run_opens_everywhere_and_names_the_damage(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / run.name
    subprocess.run(["cp", "-r", run, folder], check=True)
    content = (folder / EVENTS).read_bytes().splitlines(keepends=True)
    middle = len(content) // 2
    hostile = [
        b"\xff\xfe\n",
        b"[" * 50_000 + b"\n",
        b'{"event":"hinted","at":1,"text":"' + b"x" * (10 << 20) + b'"}\n',
    ]
    (folder / EVENTS).write_bytes(
        b"".join(content[:middle] + hostile + content[middle:-1]) + content[-1][:-7]
    )

    for more in ([folder], [folder, "--json"], ["--runs", tmp_path]):
        done = refine_agent("show", *more)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        assert len(done.stdout) < 100_000
    assert "damaged" in refine_agent("show", folder).stdout
    report = refine_agent("report", folder, "-o", tmp_path / "report.html")
    assert report.returncode == 0, report.stderr
    assert refine_agent("export", folder).returncode == 0
