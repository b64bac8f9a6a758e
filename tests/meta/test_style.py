"""The rules of the house as tests: docstrings, public names, sizes, names of files, clocks, what is imported when."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

FILE_LINES_MAX = 450
FUNCTION_LINES_MAX = 70

#: File -> why it may be longer. A line here is a debt; the test fails when it is paid and the line still stands.
LONG_FILES: dict[str, str] = {
    "src/tercel/book/l2.py": "one data structure and the repairs of it",
}
#: "file::function" -> why it may be longer.
LONG_FUNCTIONS: dict[str, str] = {
    "src/tercel/observe/frames.py::orders_frame": "one line a column of a wide table",
}

#: Names that say nothing about what a file holds.
FORBIDDEN_STEMS = {"utils", "util", "helpers", "helper", "common", "core", "manager", "misc", "tmp", "data2", "stuff"}


def _is_private(path: str) -> bool:
    return any(part.startswith("_") and part != "__init__.py" for part in Path(path).parts)


def _public_definitions(tree: ast.Module) -> set[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")}


def _bound_names(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update((a.asname or a.name).split(".")[0] for a in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def _all_of(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return [e.value for e in getattr(node.value, "elts", []) if isinstance(e, ast.Constant)]
    return None


def test_every_module_says_what_lives_in_it(sources):
    silent = [path for path, tree in sources.items() if len(ast.get_docstring(tree) or "") < 20]
    assert silent == []


def test_public_names_are_listed(sources):
    wrong = []
    for path, tree in sources.items():
        if _is_private(path) or path.endswith("tercel/__init__.py"):
            continue
        listed, defined = _all_of(tree), _public_definitions(tree)
        if listed is None:
            if defined and not path.endswith("__init__.py"):
                wrong.append(f"{path}: defines {', '.join(sorted(defined))} and has no __all__")
            continue
        if missing := set(listed) - _bound_names(tree):
            wrong.append(f"{path}: __all__ names {', '.join(sorted(missing))}, which the module does not have")
        if len(set(listed)) != len(listed):
            wrong.append(f"{path}: __all__ says a name twice")
        if hidden := [name for name in listed if name.startswith("_") and not name.startswith("__")]:
            wrong.append(f"{path}: __all__ lists private {', '.join(hidden)}")
    assert wrong == []


def test_the_names_of_the_package_are_where_it_says():
    import importlib

    import tercel

    for name, home in tercel._HOMES.items():
        assert hasattr(importlib.import_module(home), name), f"tercel.{name} is not in {home}"
    assert sorted(tercel.__all__) == sorted(["__version__", *tercel._HOMES])
    tree = ast.parse(Path(tercel.__file__).read_text(encoding="utf-8"))
    told = {a.asname for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for a in node.names}
    assert set(tercel._HOMES) - told == set(), "names that type checkers are not told of"


def test_files_are_short(sources, repo):
    lengths = {path: len((repo / path).read_text(encoding="utf-8").splitlines()) for path in sources}
    too_long = {p: n for p, n in lengths.items() if n > FILE_LINES_MAX and p not in LONG_FILES}
    paid = [p for p in LONG_FILES if lengths.get(p, 0) <= FILE_LINES_MAX]
    assert (too_long, paid) == ({}, [])


def test_functions_are_short(sources):
    lengths = {}
    for path, tree in sources.items():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lengths[f"{path}::{node.name}"] = (node.end_lineno or 0) - node.lineno + 1
    too_long = {p: n for p, n in lengths.items() if n > FUNCTION_LINES_MAX and p not in LONG_FUNCTIONS}
    paid = [p for p in LONG_FUNCTIONS if lengths.get(p, 0) <= FUNCTION_LINES_MAX]
    assert (too_long, paid) == ({}, [])


def test_no_file_has_a_name_that_says_nothing(repo_files, repo):
    inside = [p.relative_to(repo) for p in repo_files]
    assert [str(p) for p in inside if p.stem.lower() in FORBIDDEN_STEMS] == []


def test_test_files_have_unique_names(repo_files, repo):
    seen: dict[str, Path] = {}
    for path in repo_files:
        if path.is_relative_to(repo / "tests") and path.suffix == ".py" and path.name != "conftest.py":
            assert path.name not in seen, f"{path} and {seen[path.name]} have one name"
            seen[path.name] = path


_CLOCK_CALLS = {
    "time": {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time",
             "process_time_ns", "sleep", "localtime", "gmtime"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}  # fmt: skip


def _clock_reads(tree: ast.Module) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, (ast.Name, ast.Attribute)):
            owner = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
            if node.attr in _CLOCK_CALLS.get(owner, ()):
                found.append(f"line {node.lineno}: {owner}.{node.attr}")
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            found.append(f"line {node.lineno}: from time import ...")
    return found


def test_only_the_clock_module_reads_a_clock(sources):
    reads = {path: _clock_reads(tree) for path, tree in sources.items() if path != "src/tercel/clock.py"}
    assert {path: found for path, found in reads.items() if found} == {}
    assert _clock_reads(sources["src/tercel/clock.py"]), "the search finds nothing where there is something"


#: What waits for the network, for a time to come or for a process of its own. Elsewhere a wait hides a race.
_WAITING = (
    "src/tercel/net/", "src/tercel/runtime/", "src/tercel/live/", "src/tercel/localvenue/", "src/tercel/cli/",
    "src/tercel/bench/live/", "src/tercel/clock.py", "tests/live/",
)  # fmt: skip


def test_nothing_sleeps_where_nothing_waits(every_python_file):
    naps = [
        f"{path}:{node.lineno}"
        for path, tree in every_python_file.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "sleep"
        # sleep(0) gives way to other tasks and waits for nothing.
        and not (node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0)
        and not str(path).startswith(_WAITING)
    ]
    assert naps == []


def test_no_bare_except(every_python_file):
    bare = [
        f"{path}:{node.lineno}"
        for path, tree in every_python_file.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]
    assert bare == []


# --- what may not stand in the repository -----------------------------------------------------------------------

#: Written in pieces, so that this file does not find itself.
_FOREIGN = re.compile(
    "|".join(
        [
            r"(?<![\w.])/ro" + r"ot/",
            r"(?<![\w.])/ho" + r"me/\w+/",
            r"(?<![\w.])/wo" + r"rk/",
            r"(?<![\w.])/tm" + r"p/w/",
            r"/Use" + r"rs/\w+/",
            r"py" + r"pi\.org",
            r"python" + r"hosted\.org",
            r"arti" + r"factory",
            r"BEGIN [A-Z ]*PRIV" + r"ATE KEY",
        ]
    )
)


def test_no_machine_no_registry_no_key(repo_files, repo):
    found = []
    for path in repo_files:
        if path.suffix in {".png", ".gz", ".zip", ".parquet"}:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        for i, line in enumerate(text.splitlines(), 1):
            if match := _FOREIGN.search(line):
                found.append(f"{path.relative_to(repo)}:{i}: {match.group()}")
    assert found == []


def test_no_file_is_heavy(repo_files, repo):
    heavy = {str(p.relative_to(repo)): p.stat().st_size for p in repo_files if p.stat().st_size > 300_000}
    assert heavy == {}


# --- what is imported when ---------------------------------------------------------------------------------------

_EXTRAS = {
    "hftbacktest", "nautilus_trader", "vectorbt", "plotly", "backtesting", "pandas", "pytest", "hypothesis", "talib",
}  # fmt: skip


def test_extras_are_imported_inside_functions(sources):
    early = []
    for path, tree in sources.items():
        for node in tree.body:
            if isinstance(node, ast.Import):
                names = [a.name for a in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            else:
                continue
            early += [f"{path}:{node.lineno}: {n}" for n in names if n.split(".")[0] in _EXTRAS]
    assert early == []


def _modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.split()}


def test_importing_the_package_costs_nothing():
    loaded = _modules_after("import tercel")
    assert loaded.isdisjoint({"numba", "llvmlite", "numpy", "polars", "msgspec", "rich", "cyclopts"})


def test_a_name_is_loaded_when_first_used():
    loaded = _modules_after("import tercel; tercel.Instrument")
    assert "numpy" in loaded
    assert loaded.isdisjoint({"numba", "llvmlite", "polars"})


def test_the_command_line_starts_light():
    loaded = _modules_after("import tercel.cli.main")
    assert loaded.isdisjoint({"numba", "llvmlite", "numpy", "polars"})
