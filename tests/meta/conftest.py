"""What the tests of the house look at: the repository's own files."""

from __future__ import annotations

import ast
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
_SKIPPED = {".git", ".venv", ".cache", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache", "__pycache__"}


@cache
def files_of_the_repository() -> tuple[Path, ...]:
    """Every file under version control or about to be; without git, every file that is not a tool's cache."""
    if shutil.which("git") and (REPO / ".git").exists():
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=REPO,
            capture_output=True,
            text=True,
        )
        if listed.returncode == 0:
            return tuple(sorted(p for p in (REPO / f for f in listed.stdout.split("\0") if f) if p.is_file()))
    return tuple(sorted(p for p in REPO.rglob("*") if p.is_file() and not _SKIPPED.intersection(p.parts)))


@cache
def parsed(path: Path) -> ast.Module:
    """A source file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@pytest.fixture(scope="session")
def repo() -> Path:
    """The root of the repository."""
    return REPO


@pytest.fixture(scope="session")
def repo_files() -> tuple[Path, ...]:
    """Every file of the repository."""
    return files_of_the_repository()


@pytest.fixture(scope="session")
def sources() -> dict[str, ast.Module]:
    """Path relative to the repository -> syntax tree, for every Python file of the package."""
    files = [p for p in files_of_the_repository() if p.suffix == ".py" and p.is_relative_to(REPO / "src")]
    assert len(files) > 50, "the package's files were not found"
    return {str(p.relative_to(REPO)): parsed(p) for p in files}


@pytest.fixture(scope="session")
def every_python_file() -> dict[str, ast.Module]:
    """The same, for every Python file of the repository."""
    return {str(p.relative_to(REPO)): parsed(p) for p in files_of_the_repository() if p.suffix == ".py"}


@pytest.fixture(scope="session")
def documents() -> dict[str, str]:
    """Path relative to the repository -> text, for every Markdown document."""
    return {
        str(p.relative_to(REPO)): p.read_text(encoding="utf-8") for p in files_of_the_repository() if p.suffix == ".md"
    }
