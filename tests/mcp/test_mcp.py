"""A coding agent outside gets the same judge and the same page, and no call of its waits."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from refine_agent import inbox
from refine_agent.cli import cli
from refine_agent.records import Problem
from refine_agent.session import Session
from refine_agent.standins import ScriptedBench, source
from refine_agent.transcript import EVENTS, Transcript, runs_in

pytest.importorskip("mcp.server")

from mcp import Client, MCPError
from mcp.client.stdio import StdioServerParameters, stdio_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

SERVER = Path(__file__).parent / "served.py"
ROOT = Path(__file__).parents[2]
A_SECOND = 1.0


class Agent:
    """A client that notes how long each of its calls took."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.took: list[float] = []

    @property
    def usual(self) -> float:
        """The median call, in seconds: one may be late on a machine that does other work."""
        return statistics.median(self.took)

    async def call(self, tool: str, **arguments: Any) -> Any:
        began = time.monotonic()
        answer = await self.client.call_tool(tool, arguments)
        self.took.append(time.monotonic() - began)
        return answer

    async def told(self, tool: str, **arguments: Any) -> Any:
        answer = await self.call(tool, **arguments)
        assert not answer.is_error, answer.content[0].text
        found = answer.structured_content
        return found["result"] if set(found) == {"result"} else found

    async def done(self, job: str) -> dict[str, Any]:
        for _ in range(200):
            status = await self.told("job_status", job=job)
            if status["state"] in {"done", "failed"}:
                return dict(status)
            await asyncio.sleep(0.05)
        raise AssertionError(f"{job} never ended: {status}")


@asynccontextmanager
async def connected(folder: Path, run: Path | None = None) -> AsyncIterator[Agent]:
    arguments = [str(SERVER), str(folder), *([str(run)] if run is not None else [])]
    server = StdioServerParameters(
        command=sys.executable,
        args=arguments,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    async with Client(stdio_client(server)) as client:
        yield Agent(client)


def served(folder: Path, talk: Callable[[Agent], Awaitable[None]], run: Path | None = None) -> None:
    async def all_of_it() -> None:
        async with connected(folder, run) as agent:
            await talk(agent)

    asyncio.run(all_of_it())


def only_run(folder: Path) -> Transcript:
    (run,) = runs_in(folder)
    return Transcript.read(run)


def slow(speedup: float, seconds: float) -> str:
    return source(speedup=speedup, note=f"takes: {seconds}")


def test_a_kernel_is_submitted_polled_and_told_like_the_model_inside(tmp_path: Path) -> None:
    async def talk(agent: Agent) -> None:
        await agent.done("setup-1")
        brief = await agent.told("describe_problem")
        assert "class Model: ..." in brief
        assert "ModelNew" in brief
        assert "evaluate_kernel" in brief
        job = await agent.told("evaluate_kernel", source=source(speedup=1.5), idea="wider loads")
        found = await agent.done(job["job"])
        assert found["state"] == "done"
        assert found["speedup"] == 1.5
        assert "is right" in found["text"]
        assert "scripted: 533.3" in found["text"], "the profile page is in the answer"
        assert "scripted" in await agent.told("read_page", attempt=1)

    served(tmp_path, talk)
    attempt = only_run(tmp_path).attempt(1)
    assert attempt.author == "agent"
    assert attempt.candidate is not None
    assert attempt.candidate.idea == "wider loads"


def test_no_call_waits_for_an_evaluation(tmp_path: Path) -> None:
    async def talk(agent: Agent) -> None:
        await agent.done("setup-1")
        await agent.told("describe_problem")
        agent.took.clear()
        job = await agent.told("evaluate_kernel", source=slow(1.5, 2))
        while (status := await agent.told("job_status", job=job["job"]))["state"] != "done":
            assert status["phase"] in {None, "setup", "build", "judge", "profile"}
            await agent.told("attempts")
            await agent.told("best")
            await asyncio.sleep(0.05)
        assert status["seconds"] >= 2
        assert agent.usual < A_SECOND

    served(tmp_path, talk)


def test_calls_at_once_are_judged_one_after_another_and_none_is_lost(tmp_path: Path) -> None:
    async def talk(agent: Agent) -> None:
        kernels = [source(speedup=1 + i / 10, note=str(i)) for i in range(8)]
        jobs = await asyncio.gather(
            *(agent.told("evaluate_kernel", source=kernel) for kernel in kernels)
        )
        found = [await agent.done(job["job"]) for job in jobs]
        assert sorted(one["speedup"] for one in found) == [1 + i / 10 for i in range(8)]
        assert len({one["attempt"] for one in found}) == 8
        assert agent.usual < A_SECOND

    served(tmp_path, talk)
    assert len(only_run(tmp_path).attempts) == 8


def test_more_than_the_queue_holds_is_refused_with_what_to_do(tmp_path: Path) -> None:
    async def talk(agent: Agent) -> None:
        await agent.told("evaluate_kernel", source=slow(1.1, 1))
        answers = [
            await agent.call("evaluate_kernel", source=source(speedup=1.2)) for _ in range(20)
        ]
        refused = [answer for answer in answers if answer.is_error]
        assert refused
        assert "poll job_status" in refused[0].content[0].text

    served(tmp_path, talk)


BAD: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("evaluate_kernel", {}, "source"),
    ("evaluate_kernel", {"source": 7}, "source"),
    ("evaluate_kernel", {"source": "   "}, "empty"),
    ("evaluate_kernel", {"source": "def f(): ..."}, "ModelNew"),
    ("evaluate_kernel", {"source": "ModelNew" * 60_000}, "480,000 characters"),
    ("evaluate_kernel", {"source": "class ModelNew: ...", "parent": 9}, "no attempt 9"),
    ("profile_kernel", {"attempt": 3}, "no attempt 3"),
    ("profile_kernel", {"attempt": -(10**30)}, "no attempt"),
    ("job_status", {"job": "evaluate-99"}, "there is no job 'evaluate-99'"),
    ("job_status", {"job": "\x00" * 10_000}, "there is no job"),
    ("compare", {"a": 1, "b": 2}, "no attempt 1"),
    ("compare", {"a": "one"}, "a"),
    ("read_page", {"attempt": None}, "attempt"),
    ("no_such_tool", {}, "no_such_tool"),
)


def test_bad_arguments_get_a_sentence_each_and_the_server_goes_on(tmp_path: Path) -> None:
    async def talk(agent: Agent) -> None:
        await agent.done("setup-1")
        for tool, arguments, said in BAD:
            text = await refusal(agent, tool, arguments)
            assert said in text, (tool, arguments)
            assert "Traceback" not in text
        job = await agent.told("evaluate_kernel", source=source(speedup=1.5))
        assert (await agent.done(job["job"]))["speedup"] == 1.5
        assert agent.usual < A_SECOND

    served(tmp_path, talk)


async def refusal(agent: Agent, tool: str, arguments: dict[str, Any]) -> str:
    try:
        answer = await agent.call(tool, **arguments)
    except MCPError as why:
        return str(why)
    assert answer.is_error, (tool, arguments)
    return str(answer.content[0].text)


def test_a_wrong_kernel_is_explained_and_cannot_be_profiled(tmp_path: Path) -> None:
    async def talk(agent: Agent) -> None:
        job = await agent.told("evaluate_kernel", source=source(says="mismatch: last tile"))
        found = await agent.done(job["job"])
        assert "last tile" in found["text"]
        assert found["speedup"] is None
        assert await agent.told("best") == "No kernel has passed yet."
        job = await agent.told("profile_kernel", attempt=1)
        found = await agent.done(job["job"])
        assert found["state"] == "failed"
        assert "did not pass" in found["text"]

    served(tmp_path, talk)


def test_only_a_sealed_kernel_is_presented_as_final(tmp_path: Path) -> None:
    async def talk(agent: Agent) -> None:
        for speedup in (1.2, 1.7):
            job = await agent.told("evaluate_kernel", source=source(speedup=speedup))
            await agent.done(job["job"])
        assert "not sealed yet" in await agent.told("best")
        sealing = await agent.done((await agent.told("seal_best"))["job"])
        assert sealing["state"] == "done"
        best = await agent.told("best")
        assert "It is sealed." in best
        assert "speedup: 1.7" in best
        assert "speedup: 1.2" in await agent.told("compare", a=1, b=2)

    served(tmp_path, talk)
    assert only_run(tmp_path).attempt(2).sealed is not None


def test_a_finished_sealing_says_which_kernel_it_sealed_and_what_it_is_worth(
    tmp_path: Path,
) -> None:
    async def talk(agent: Agent) -> None:
        await evaluated(agent, source(speedup=1.7))
        await evaluated(agent, source(speedup=1.2))
        for _ in range(2):  # sealed already, the second brings no event
            sealing = await agent.done((await agent.told("seal_best"))["job"])
            assert (sealing["attempt"], sealing["speedup"]) == (1, 1.7)
            assert sealing["verdict"].startswith("1.70x")

    served(tmp_path, talk)


def test_nothing_to_seal_is_not_the_same_as_nothing_that_survived_it(tmp_path: Path) -> None:
    async def talk(agent: Agent) -> None:
        sealing = await agent.done((await agent.told("seal_best"))["job"])
        assert sealing["text"] == "No kernel has passed yet."
        assert sealing["attempt"] is None
        await evaluated(agent, source(speedup=1.7, note="only light"))
        sealing = await agent.done((await agent.told("seal_best"))["job"])
        assert "attempt 1 did not survive its sealing (wrong: differs" in sealing["text"]
        assert (sealing["attempt"], sealing["speedup"]) == (1, None)
        assert "did not survive its sealing" in await agent.told("best")

    served(tmp_path, talk)


# --- the engineer, from another terminal ----------------------------------------------------------


async def evaluated(agent: Agent, kernel: str) -> dict[str, Any]:
    return await agent.done((await agent.told("evaluate_kernel", source=kernel))["job"])


def dropped(folder: Path, note: inbox.AnyNote) -> None:
    (run,) = runs_in(folder)
    inbox.drop(run, note)


def test_a_hint_is_told_with_the_next_answer_and_is_news_until_the_next_kernel(
    tmp_path: Path,
) -> None:
    async def talk(agent: Agent) -> None:
        await agent.done("setup-1")
        dropped(tmp_path, inbox.Hint(at=time.time(), text="use float4"))
        first = await evaluated(agent, source(speedup=1.2))
        assert "From the engineer at your side:\n\n> use float4\n" in first["text"]
        assert "is right" in first["text"]
        assert "float4" not in await agent.told("describe_problem")
        dropped(tmp_path, inbox.Hint(at=time.time(), text="now a persistent grid"))
        sealing = await agent.done((await agent.told("seal_best"))["job"])
        for text in (sealing["text"], await agent.told("describe_problem")):
            assert "> now a persistent grid" in text
            assert "float4" not in text
        second = await evaluated(agent, source(speedup=1.4))
        third = await evaluated(agent, source(speedup=1.5))
        assert "persistent grid" in second["text"]
        assert "From the engineer" not in third["text"]

    served(tmp_path, talk)


def test_after_a_stop_no_kernel_is_judged_and_the_best_can_still_be_sealed(tmp_path: Path) -> None:
    async def talk(agent: Agent) -> None:
        await evaluated(agent, source(speedup=1.2))
        dropped(tmp_path, inbox.Stop(at=time.time()))
        waiting = await evaluated(agent, source(speedup=1.9))
        assert waiting["state"] == "failed"
        assert "no further kernel is judged here; call seal_best" in waiting["text"]
        refused = await refusal(agent, "evaluate_kernel", {"source": source(speedup=1.9)})
        assert "stopped by the engineer: no further kernel is judged" in refused
        assert "stopped by the engineer" in await agent.told("describe_problem")
        sealing = await agent.done((await agent.told("seal_best"))["job"])
        assert (sealing["attempt"], sealing["speedup"]) == (1, 1.2)

    served(tmp_path, talk)
    run = only_run(tmp_path)
    assert len(run.attempts) == 1
    assert run.stopped is not None
    assert run.stopped.reason == "stopped by the engineer"


def test_a_kernel_of_the_engineers_is_not_taken_for_that_of_the_job(tmp_path: Path) -> None:
    async def talk(agent: Agent) -> None:
        await evaluated(agent, source(speedup=1.2))
        dropped(tmp_path, inbox.Offer(at=time.time(), source=source(speedup=1.1)))
        found = await agent.done((await agent.told("profile_kernel", attempt=1))["job"])
        assert (found["attempt"], found["speedup"]) == (1, 1.2)
        assert [one["author"] for one in await agent.told("attempts")] == ["agent", "engineer"]

    served(tmp_path, talk)


def test_a_client_that_leaves_mid_evaluation_loses_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def leave(agent: Agent) -> None:
        job = await agent.told("evaluate_kernel", source=slow(1.4, 2))
        for _ in range(200):
            if (await agent.told("job_status", job=job["job"]))["attempt"] is not None:
                return
            await asyncio.sleep(0.02)
        raise AssertionError("the kernel was never offered")

    served(tmp_path, leave)
    assert "Invalid JSON" not in caplog.text, "a candidate's output is not the protocol's"
    (run,) = runs_in(tmp_path)
    wait_until_free(run)
    assert Transcript.read(run).attempt(1).candidate is not None or _finished_later(tmp_path, run)


def _finished_later(folder: Path, run: Path) -> bool:
    async def look(agent: Agent) -> None:
        assert (await agent.done("setup-1"))["state"] == "done"

    served(folder, look, run)
    return Transcript.read(run).attempt(1).passed is not None


INITIALIZE = {
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
INITIALIZED = {"method": "notifications/initialized"}
SUBMIT = {
    "id": 2,
    "method": "tools/call",
    "params": {"name": "evaluate_kernel", "arguments": {"source": slow(1.3, 30)}},
}


def test_a_server_killed_mid_evaluation_finishes_it_when_it_is_served_again(
    tmp_path: Path,
) -> None:
    process = subprocess.Popen(
        [sys.executable, str(SERVER), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdin is not None
    for line in (INITIALIZE, INITIALIZED, SUBMIT):
        process.stdin.write(json.dumps({"jsonrpc": "2.0", **line}).encode() + b"\n")
        process.stdin.flush()
    run = _once_offered(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert Transcript.read(run).attempt(1).verdict is None
    events = run / "events.jsonl"
    events.write_text(events.read_text().replace("# takes: 30", "# takes: 0."))
    assert _finished_later(tmp_path, run)


def _once_offered(folder: Path) -> Path:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for run in runs_in(folder):
            if Transcript.read(run).attempts:
                return run
        time.sleep(0.05)
    raise AssertionError("the kernel was never offered")


def wait_until_free(run: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            Transcript.open(run).close()
        except Exception:  # noqa: BLE001 - still held
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the server still holds the run")


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    with Session.start(
        Problem(name="scale", source="class Model: ..."),
        model="manual",
        runs=tmp_path,
        bench=ScriptedBench(),
    ) as session:
        return session.transcript.folder


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--require-sandbox"], "--require-sandbox: "),
        (["--device", "cpu", "--no-sanitize"], "--device, --no-sanitize: "),
    ],
)
def test_how_a_run_judges_is_not_changed_when_it_is_served_again(
    begun: Path, options: list[str], named: str
) -> None:
    before = (begun / EVENTS).read_bytes()

    done = CliRunner().invoke(cli, ["mcp", str(begun), *options])

    assert done.exit_code == 2
    assert f"{named}{begun} goes on with the options it was begun with" in done.output
    assert (begun / EVENTS).read_bytes() == before


def test_defaults_of_the_environment_do_not_keep_a_run_from_being_served(
    begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Session] = []
    monkeypatch.setattr("refine_agent.mcp.serve", opened.append)

    done = CliRunner().invoke(cli, ["mcp", str(begun)], env={"REFINE_AGENT_DEVICE": "cpu"})

    assert done.exit_code == 0, done.output
    assert opened[0].transcript.folder == begun
    opened[0].close()
