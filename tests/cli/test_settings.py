"""Where options come from: pyproject.toml, the environment, flags; and what is refused."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from refine_agent.cli import cli
from refine_agent.cli.settings import options_from, read_settings
from refine_agent.records import Budget


def given(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Return what `optimize` is called with, stopping before it does anything."""
    seen: dict[str, object] = {}
    optimize = cli.commands["optimize"]
    monkeypatch.setattr(optimize, "callback", lambda **values: seen.update(values))
    result = CliRunner().invoke(cli, ["optimize", "p.py", *arguments])
    assert result.exit_code == 0, result.output
    return seen


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def configure(text: str) -> None:
    Path("pyproject.toml").write_text(f"[tool.refine_agent]\n{text}\n")


def test_flags_win_over_the_environment_and_that_over_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configure('turns = 3\ntarget = 1.5\nmodel = "file/model"\nbudget-usd = 2.0')
    monkeypatch.setenv("REFINE_AGENT_TARGET", "1.7")
    monkeypatch.setenv("REFINE_AGENT_MODEL", "env/model")

    values = given(["--model", "flag/model"], monkeypatch)

    assert values["model"] == "flag/model"
    assert values["target"] == 1.7
    assert values["turns"] == 3
    assert values["budget_usd"] == 2.0


def test_the_nearest_file_above_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure("turns = 5")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "er")

    assert given([], monkeypatch)["turns"] == 5


def test_without_any_of_them_eight_turns_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    options = options_from(given([], monkeypatch))

    assert options.budget == Budget(turns=8)
    assert options.profile == "auto"
    assert options.samples == 1


def test_lists_and_switches_can_be_set_in_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    configure('fallback-model = ["a/b", "c/d"]\nauthored-only = true\ncompile-baseline = false')

    options = options_from(given([], monkeypatch))

    assert options.fallback_models == ("a/b", "c/d")
    assert options.authored_only
    assert not options.compile_baseline


def test_a_setting_nobody_knows_is_refused_by_name() -> None:
    configure("turnz = 3")

    with pytest.raises(click.UsageError, match=r"no setting turnz; known are .*turns"):
        read_settings(cli.commands)


def test_a_file_that_is_no_toml_is_refused_with_its_name() -> None:
    Path("pyproject.toml").write_text("[tool.refine_agent\n")

    result = CliRunner().invoke(cli, ["optimize", "p.py"])

    assert result.exit_code == 2
    assert "pyproject.toml cannot be read" in result.output


def test_a_resumed_run_is_not_changed_by_the_folder_it_is_resumed_in() -> None:
    configure("turns = 99")

    assert read_settings(cli.commands)["resume"] == {}


def test_a_resumed_run_is_looked_for_where_the_folder_keeps_its_runs() -> None:
    configure('runs = "elsewhere"\nturns = 3')

    assert read_settings(cli.commands)["resume"] == {"runs": "elsewhere"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--turns", "-1"],
        ["--target", "0"],
        ["--samples", "0"],
        ["--profile", "deep"],
        ["--minutes", "x"],
        ["--target", "nan"],
        ["--budget-usd", "inf"],
    ],
    ids=" ".join,
)
def test_values_that_make_no_sense_are_refused(arguments: list[str]) -> None:
    assert CliRunner().invoke(cli, ["optimize", "p.py", *arguments]).exit_code == 2


def test_help_documents_every_exit_code() -> None:
    text = CliRunner().invoke(cli, ["--help"]).output

    for code in (0, 1, 2, 3, 4, 5, 130):
        assert f"\n    {code} " in text
