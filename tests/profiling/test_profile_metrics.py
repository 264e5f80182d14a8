"""THE table: that it is complete, documented, and names counters that exist."""

import ast
import re
from pathlib import Path

import pytest

from refine_agent.profiling import frames, metrics, stalls
from tests.profiling.evidence_on_file import layer_norm
from tests.profiling.test_profile_page import page_of

ROOT = Path(__file__).parents[2]


def test_the_readmes_glossary_is_the_table() -> None:
    text = (ROOT / "profiling" / "README.md").read_text()
    body = text.split("<!-- glossary -->\n")[1].split("<!-- /glossary -->")[0]
    assert body == metrics.glossary()


def test_keys_are_unique_and_every_number_has_unit_meaning_and_source() -> None:
    assert len(metrics.BY_KEY) == len(metrics.TABLE)
    for row in metrics.TABLE:
        assert row.unit
        assert row.meaning
        assert row.source


def test_every_counter_the_table_names_exists_in_a_real_full_report() -> None:
    # Two L2 counters of the findings come with sections that --set full spells otherwise.
    absent = {name for row in metrics.TABLE for name in row.counters} & set(layer_norm().absent)
    assert absent == set()


def test_what_a_smaller_set_did_not_collect_is_known_by_name() -> None:
    assert "dram_mb" in metrics.missing(layer_norm("basic"))
    assert metrics.missing(layer_norm("full")) == ()


def test_stalls_add_up_to_all_of_a_warps_time() -> None:
    shares = stalls.stall_shares(layer_norm())
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares, key=lambda reason: shares[reason]) == "long_scoreboard"


def test_sampled_and_averaged_stalls_tell_the_same_story() -> None:
    # --set detailed has only samples, --set full has cycle averages: the same kernel, two ways.
    averaged = stalls.stall_shares(layer_norm("full"))["long_scoreboard"]
    sampled = stalls.stall_shares(layer_norm("detailed"))["long_scoreboard"]
    assert averaged == pytest.approx(sampled, abs=0.05)


def test_pages_become_tidy_tables() -> None:
    table = frames.frame([page_of(layer_norm()), page_of()])
    assert list(table.columns) == list(frames.COLUMNS)
    whole = table[(table.metric == "traffic_ratio") & (table.kernel == "(call)")]
    assert whole["value"].iloc[0] == pytest.approx(1.365, abs=0.001)
    assert set(table.rung) == {"ncu", "timing"}


def test_profiling_stands_alone() -> None:
    for path in sorted((ROOT / "profiling").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                assert not name.startswith("refine_agent") or name.startswith(
                    "refine_agent.profiling"
                ), f"{path.name} imports {name}"
    assert not (ROOT / "profiling" / "__init__.py").exists()


def test_the_readme_explains_every_kind_of_finding() -> None:
    text = (ROOT / "profiling" / "README.md").read_text()
    told = set(re.findall(r"`([a-z0-9_]+)`", text.split("## Findings")[1].split("## ")[0]))
    told |= {f"occupancy{end}" for end in ("_registers", "_shared", "_blocks")}
    kinds = {
        node.value
        for path in sorted((ROOT / "profiling").glob("*.py"))
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.keyword) and call.arg == "kind"
        for node in ast.walk(call.value)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert len(kinds) > 25
    assert kinds <= told
