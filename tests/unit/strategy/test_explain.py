"""What a user reads when a strategy does not compile: each case is compiled for real, and the message is literal."""

from __future__ import annotations

import importlib.util
import itertools
import textwrap
from pathlib import Path

import pytest

from tercel.errors import StrategyCompileError
from tercel.jit import COMPILED, compile_handler
from tercel.strategy.compiler import compile_strategy
from tercel.strategy.context import CONTEXT
from tercel.strategy.contract import HANDLERS
from tercel.strategy.explain import check_handler, explain

# The body of on_trade begins on line 31 of the file, whatever a case writes there.
HEADER = """\
import json

import numpy as np

import tercel.features as features
from tercel.strategy.contract import Strategy

SETTINGS = {"a": 1}


class Signal:
    pass


def outside(x):
    return str(x)


class Mine(Strategy):
    # Every case breaks this one.
    qty: float = 1.0
    n: int = 0
    history: np.ndarray = np.zeros(4)
    fast: features.Ema = features.Ema(10)

    def size(self, a, b):
        return a + b


    def on_trade(self, ctx, trade):
"""
assert HEADER.count("\n") == 30

_COUNT = itertools.count()
_LEAKS = ("numba", "nopython", "Numba", "Record(", "Overload", "Literal[", "pipeline", "overload", "opcode", "0x")


def write(tmp_path: Path, body: str, header: str = HEADER) -> type:
    name = f"mine_{next(_COUNT)}"
    path = tmp_path / f"{name}.py"
    path.write_text(header + textwrap.indent(textwrap.dedent(body).strip("\n"), "        ") + "\n")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Mine


def failure(cls: type, tmp_path: Path, handler: str = "on_trade") -> Exception:
    event = HANDLERS[handler]
    assert event is not None
    dtypes = (cls().record_dtype(), CONTEXT, event)
    with pytest.raises(Exception) as caught:
        compile_handler(getattr(cls, handler), dtypes, tmp_path / "cache", f"h_{cls.__module__}")
    return caught.value


def check_message(message: str, line: int, shown: str, name: str, words: list[str]) -> None:
    lines = message.splitlines()
    assert lines[0].startswith("Mine.on_trade does not compile: ")
    assert lines[0].endswith(f".py, line {line}")
    assert lines[1] == f"    {shown}"
    assert lines[2].startswith(f"`{name}`: ")
    flat = " ".join(lines[2:])
    for word in words:
        assert word in flat, message
    assert len(lines) < 12
    assert max(len(text) for text in lines[1:]) <= 120
    for leak in _LEAKS:
        assert leak not in flat, message


# body, line, source line shown, offending name, what the message must say.
CASES: dict[str, tuple[str, int, str, str, list[str]]] = {
    "undefined name": ("x = 1\ny = prise + x", 32, "y = prise + x", "prise", ["no variable of that name"]),
    "undefined name like a local": (
        "price = 1.0\ny = prise",
        32,
        "y = prise",
        "prise",
        ["Did you mean `price`?"],
    ),
    "undefined name that is a field": ("y = qty * 2", 31, "y = qty * 2", "qty", ["Did you mean `self.qty`?"]),
    "read before it is set": ("self.qty = z\nz = 1.0", 31, "self.qty = z", "z", ["read before it has a value"]),
    "unknown on self": (
        "x = self.qtty + 1",
        31,
        "x = self.qtty + 1",
        "self.qtty",
        ["Did you mean `qty`?", "self (Mine) has: fields qty, n, history, fast; methods size."],
    ),
    "unknown on an indicator": (
        "x = self.fast.updat(trade.price)",
        31,
        "x = self.fast.updat(trade.price)",
        "self.fast.updat",
        ["Did you mean `update`?", "self.fast (Ema) has: fields alpha, value, n, n_ready; methods update, ready."],
    ),
    "unknown on ctx": (
        "if self.n == 0:\n    ctx.buyy(trade.instrument, 1.0)",
        32,
        "ctx.buyy(trade.instrument, 1.0)",
        "ctx.buyy",
        ["Did you mean `buy`?", "ctx (the context) has: fields now; methods best_bid, best_ask, "],
    ),
    "unknown on the event": (
        "x = trade.pric * 2",
        31,
        "x = trade.pric * 2",
        "trade.pric",
        ["Did you mean `price`?", "trade (the event of on_trade) has: fields ts, ts_exch, instrument, side, px, "],
    ),
    "ctx without a required argument": (
        "ctx.buy()",
        31,
        "ctx.buy()",
        "ctx.buy",
        ["missing a required argument: 'instrument'", "Call it as buy(instrument, qty"],
    ),
    "ctx with an unknown keyword": (
        "ctx.buy(trade.instrument, 1.0, price=2.0)",
        31,
        "ctx.buy(trade.instrument, 1.0, price=2.0)",
        "ctx.buy",
        ["got an unexpected keyword argument 'price'", "Call it as buy(instrument, qty"],
    ),
    "own method with too few": (
        "x = self.size(1.0)",
        31,
        "x = self.size(1.0)",
        "self.size",
        ["missing a required argument: 'b'", "Call it as size(a, b)."],
    ),
    "indicator with too many": (
        "self.fast.update(1.0, 2.0)",
        31,
        "self.fast.update(1.0, 2.0)",
        "self.fast.update",
        ["too many positional arguments", "Call it as update(x)."],
    ),
    "new attribute": (
        "self.counter = 1",
        31,
        "self.counter = 1",
        "self.counter",
        ["Mine has no field `counter`", "Declare it in the class, as in `counter: float = 0.0`."],
    ),
    "new attribute with underscore": (
        "self._count = 1",
        31,
        "self._count = 1",
        "self._count",
        ["Names that begin with _ are never fields.", "`count: float = 0.0`"],
    ),
    "None in a field": (
        "self.qty = None",
        31,
        "self.qty = None",
        "self.qty",
        ["the field holds a float, not None", "A field cannot be None"],
    ),
    "text in a field": (
        'self.n = "many"',
        31,
        'self.n = "many"',
        "self.n",
        ["the field holds an int, not the text 'many'"],
    ),
    "number in place of an indicator": (
        "self.fast = 3.0",
        31,
        "self.fast = 3.0",
        "self.fast",
        ["the field holds an indicator, not a float", "`self.fast.update(...)`"],
    ),
    "two types": (
        'if trade.price > 1:\n    x = 1\nelse:\n    x = "none"\nself.n = x',
        35,
        "self.n = x",
        "x",
        ["sometimes the text 'none' and sometimes an int"],
    ),
    "order of a number and a text": (
        'if trade.price > "100":\n    self.n = 1',
        31,
        'if trade.price > "100":',
        ">",
        ["cannot work on a float and the text '100'"],
    ),
    "number plus None": (
        "x = trade.price + None",
        31,
        "x = trade.price + None",
        "+",
        ["cannot work on a float and None", "Make both sides numbers."],
    ),
    "index by float": ("x = self.history[1.5]", 31, "x = self.history[1.5]", "[ ]", ["indexed by int, not by a float"]),
    "field called": ("x = self.qty(1)", 31, "x = self.qty(1)", "self.qty", ["is a float, not a function"]),
    "method of a text": ("x = trade.price.upper()", 31, "x = trade.price.upper()", "upper", ["a float has nothing"]),
    "empty list": ("x = []", 31, "x = []", "x", ["declared in the class", "np.zeros(100)"]),
    "mixed dict": (
        'x = {"a": 1, "b": 2.5, 3: None}',
        31,
        'x = {"a": 1, "b": 2.5, 3: None}',
        "dict",
        ["keys of one type", "jit=False"],
    ),
    "global dict": (
        'self.n = SETTINGS["a"]',
        31,
        'self.n = SETTINGS["a"]',
        "SETTINGS",
        ["a dict", "actor", "jit=False"],
    ),
    "except": (
        "x = 0.0\ntry:\n    x = 1 / self.n\nexcept ZeroDivisionError:\n    x = 1.0",
        34,
        "except ZeroDivisionError:",
        "except",
        ["Test before acting instead", "jit=False"],
    ),
    "f-string": ('x = f"{trade.price:.2f}"', 31, 'x = f"{trade.price:.2f}"', "f-string", ["cannot run", "actor"]),
    "import": ("import math", 31, "import math", "import", ["Import at the top of the module."]),
    "with": ('with open("x") as f:\n    pass', 31, 'with open("x") as f:', "with", ["cannot run", "actor"]),
    "lambda": (
        "f = lambda v: v + trade.price\ng = [f, f]",
        31,
        "f = lambda v: v + trade.price",
        "lambda",
        ["Make it a method of the class."],
    ),
    "generator": (
        "x = sum(v for v in self.history)",
        31,
        "x = sum(v for v in self.history)",
        "generator expression",
        ["Write a plain loop."],
    ),
    "global": ("global SETTINGS\nSETTINGS = 3", 31, "global SETTINGS", "global", ["annotated fields"]),
    "del": ("del self.qty", 31, "del self.qty", "del", ["Fields stay for the whole run"]),
    "class made": ("s = Signal()", 31, "s = Signal()", "Signal", ["a class; objects cannot be made"]),
    "super": ("super().on_trade(ctx, trade)", 31, "super().on_trade(ctx, trade)", "super", ["has no super()"]),
    "library": ("x = json.dumps(1)", 31, "x = json.dumps(1)", "json.dumps", ["json is a Python library", "actor"]),
    "plain function": ("x = outside(1)", 31, "x = outside(1)", "outside", ["a plain Python function", "kernel"]),
    "built-in": ('x = open("a")', 31, 'x = open("a")', "open", ["reaches outside"]),
    "numpy file function": ('x = np.loadtxt("a")', 31, 'x = np.loadtxt("a")', "numpy.loadtxt", ["NumPy", "jit=False"]),
    "numpy misspelt": ("x = np.sqroot(2.0)", 31, "x = np.sqroot(2.0)", "np.sqroot", ["Did you mean `sqrt`?"]),
}


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled under NUMBA_DISABLE_JIT=1")
@pytest.mark.parametrize("case", CASES)
def test_message(case, tmp_path):
    body, line, shown, name, words = CASES[case]
    cls = write(tmp_path, body)
    error = failure(cls, tmp_path)
    explained = explain(error, cls, "on_trade")
    assert type(explained) is StrategyCompileError
    assert explained.__cause__ is error
    check_message(str(explained), line, shown, name, words)


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled under NUMBA_DISABLE_JIT=1")
def test_an_error_inside_a_method_shows_the_line_of_the_method(tmp_path):
    header = HEADER.replace("        return a + b\n\n", "        return a.wrong + b\n\n")
    cls = write(tmp_path, "x = self.size(trade, 1.0)", header)
    message = str(explain(failure(cls, tmp_path), cls, "on_trade"))
    check_message(message, 27, "return a.wrong + b", "a.wrong", ["nothing of the name `wrong`"])


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled under NUMBA_DISABLE_JIT=1")
def test_types_that_clash_inside_a_method_show_the_line_of_the_method(tmp_path):
    header = HEADER.replace("        return a + b\n\n", '        return a + "b"\n\n')
    cls = write(tmp_path, "x = self.size(1.0, 1.0)", header)
    message = str(explain(failure(cls, tmp_path), cls, "on_trade"))
    check_message(message, 27, 'return a + "b"', "+", ["cannot work on a float and the text 'b'"])


def test_what_is_not_recognised_is_still_short_and_names_the_handler(tmp_path):
    cls = write(tmp_path, "pass")
    error = RuntimeError("Numba overload nopython pipeline\n" * 50)
    message = str(explain(error, cls, "on_trade"))
    check_message(message, 30, "def on_trade(self, ctx, trade):", "on_trade", ["cannot run in compiled code"])


# What would compile and then do nothing or the wrong thing is found in the text alone.
SILENT: dict[str, tuple[str, int, str, str, list[str]]] = {
    "yield": ("yield 1", 31, "yield 1", "yield", ["would never run"]),
    "text compared": (
        'if trade.instrument == "BTCUSDT":\n    self.n = 1',
        31,
        'if trade.instrument == "BTCUSDT":',
        "'BTCUSDT'",
        ["can never be right", "ints"],
    ),
    "new attribute": ("if self.n:\n    self.m = 1", 32, "self.m = 1", "self.m", ["Mine has no field `m`"]),
    "new attribute added to": ("self.m += 1", 31, "self.m += 1", "self.m", ["Mine has no field `m`"]),
}


@pytest.mark.parametrize("case", SILENT)
def test_what_compiles_but_would_do_the_wrong_thing_is_refused(case, tmp_path):
    body, line, shown, name, words = SILENT[case]
    cls = write(tmp_path, body)
    with pytest.raises(StrategyCompileError) as caught:
        check_handler(cls, "on_trade")
    check_message(str(caught.value), line, shown, name, words)


def test_an_async_handler_is_refused(tmp_path):
    cls = write(tmp_path, "pass", HEADER.replace("    def on_trade", "    async def on_trade"))
    with pytest.raises(StrategyCompileError) as caught:
        check_handler(cls, "on_trade")
    check_message(str(caught.value), 30, "async def on_trade(self, ctx, trade):", "async def", ["belongs in an actor"])


def test_a_sound_handler_passes_the_check(tmp_path):
    body = """
    self.n += 1
    self.history[self.n & 3] = trade.price
    if self.fast.update(trade.price) > trade.price and ctx.position(trade.instrument) == 0:
        ctx.buy(trade.instrument, self.qty)
    """
    assert check_handler(write(tmp_path, body), "on_trade") is None


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled under NUMBA_DISABLE_JIT=1")
@pytest.mark.parametrize(
    ("body", "name"), [("x = self.qtty", "self.qtty"), ("import math", "import"), ("x = prise", "prise")]
)
def test_the_compiler_of_strategies_raises_the_explanation(body, name, tmp_path):
    """Numba lets these three escape in three unrelated kinds of exception."""
    with pytest.raises(StrategyCompileError, match=f"line 31\n    {body}\n`{name}`: "):
        compile_strategy(write(tmp_path, body)())
