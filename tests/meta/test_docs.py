"""Documents against the code: links, generated parts, decisions, the site's pages, the targets of the Makefile."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

_LINK = re.compile(r"(?<!\\)\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
HEADINGS = ["Context", "Decision", "Alternatives", "Consequences"]


def _anchor(heading: str) -> str:
    plain = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return plain.replace(" ", "-")


def _anchors(text: str) -> set[str]:
    return {_anchor(h) for h in re.findall(r"^#+ (.*)$", _FENCE.sub("", text), re.MULTILINE)}


def test_links_of_the_documents_lead_somewhere(documents, repo):
    broken, n_links = [], 0
    for name, text in documents.items():
        for target in _LINK.findall(_FENCE.sub("", text)):
            if re.match(r"https?://|mailto:", target):
                continue
            n_links += 1
            path, _, anchor = target.partition("#")
            found = (repo / name).parent / path if path else repo / name
            if not found.exists():
                broken.append(f"{name}: {target}")
            elif anchor and anchor not in _anchors(found.read_text(encoding="utf-8")):
                broken.append(f"{name}: {target} (no such heading)")
    assert broken == []
    assert n_links > 40, "the search for links finds too few"


def test_generated_parts_say_what_the_code_says(repo):
    """Methods of ctx, handlers, indicators, reasons, commands, exit codes, capacities; `make docs` writes them."""
    done = subprocess.run([sys.executable, str(repo / "docs/generate.py"), "--check"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_method_of_the_context_is_documented(repo):
    from tercel.strategy.context import METHODS

    listed = set(
        re.findall(r"^\| `ctx\.(\w+)\(", (repo / "docs/strategies.md").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert listed == set(METHODS)


def test_the_statistics_page_is_the_code_s(repo):
    from tercel.observe.definitions import definitions_markdown

    assert (repo / "docs/statistics.md").read_text(encoding="utf-8").strip() == definitions_markdown().strip()


def test_decisions_have_the_four_headings(repo):
    decisions = sorted((repo / "docs/adr").glob("[0-9]*.md"))
    assert len(decisions) >= 12
    for i, path in enumerate(decisions, 1):
        text = path.read_text(encoding="utf-8")
        assert path.name.startswith(f"{i:04d}-"), f"{path.name}: the numbers have a hole before it"
        assert text.startswith(f"# {i}. "), f"{path.name}: the title must begin with its number"
        assert re.findall(r"^## (.*)$", text, re.MULTILINE) == HEADINGS, path.name


def test_every_decision_is_in_the_index(repo):
    listed = re.findall(r"\((\d{4}-[\w-]+\.md)\)", (repo / "docs/adr/index.md").read_text(encoding="utf-8"))
    assert listed == sorted(p.name for p in (repo / "docs/adr").glob("[0-9]*.md"))


def test_the_site_has_every_page(repo):
    listed = set(re.findall(r": ([\w/-]+\.md)$", (repo / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    pages = {p.name for p in (repo / "docs").glob("*.md")} | {"adr/index.md"}
    assert listed == pages


def test_the_index_lists_every_page(repo):
    index = (repo / "docs/index.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| \[[^\]]+\]\(([\w/-]+\.md)\) \|", index, re.MULTILINE))
    assert rows == {p.name for p in (repo / "docs").glob("*.md") if p.name != "index.md"} | {"adr/index.md"}


def test_commands_of_make_in_the_documents_exist(documents, repo):
    makefile = (repo / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for name, text in documents.items():
        named = set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)`", text, re.MULTILINE))
        assert {a or b for a, b in named} <= targets, name


@pytest.mark.parametrize("name", ["run", "lanes"])
def test_what_a_machine_runs_is_sound(repo, name):
    path = repo / ".ci" / name
    assert path.stat().st_mode & 0o111, f"{path} must be executable"
    subprocess.run(["bash", "-n", str(path)], check=True)


def test_the_readme_shows_a_picture_that_is_there(documents, repo):
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", documents["README.md"])
    assert pictures
    for picture in pictures:
        assert 10_000 < (repo / Path(picture)).stat().st_size < 300_000


def test_the_benchmark_table_is_filled_from_json(repo):
    import importlib.util

    spec = importlib.util.spec_from_file_location("docs_generate", repo / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    rows = [
        {"question": "a", "ours": 25.04, "theirs": 1234.5, "unit": "ns", "peer": "p 1", "ratio": 49.3, "reach": "x",
         "same_results": True},
        {"question": "b", "ours": 3.14159, "theirs": None, "unit": "s", "peer": "", "ratio": None, "reach": "",
         "same_results": None},
    ]  # fmt: skip
    assert generate.bench_table(rows).splitlines()[2:] == [
        "| a | 25 | 1,234 | ns | 49.3 | yes | x | p 1 |",
        "| b | 3.14 |  | s |  |  |  |  |",
    ]
    readme = (repo / "README.md").read_text(encoding="utf-8")
    assert readme.index("<!-- bench:start -->") < readme.index("<!-- bench:end -->")
