"""Records from classes: dtypes, named errors, nesting, arrays, markers, methods chosen by class."""

from __future__ import annotations

import numpy as np
import pytest

from tercel.errors import StrategyError
from tercel.features.moving import Ema
from tercel.features.state import State, source_digest, view_class
from tercel.jit import COMPILED, address_of, call_handler, compile_handler

CTX = np.dtype([("spare", "i8")])
EV = np.dtype([("px", "f8"), ("out", "f8")])


class Scalars(State):
    price: float = 1.5
    count: int = 3
    open: bool = True
    _hidden: int = 9


class Inner(State):
    total: float = 2.0

    def add(self, x):
        self.total += x
        return self.total


class Outer(State):
    one: Inner
    two: Inner
    weights: np.ndarray
    counts: np.ndarray
    n: int = 0

    def __init__(self) -> None:
        self.one = Inner()
        self.two = Inner()
        self.two.total = 10.0
        self.weights = np.array([0.5, 0.25])
        self.counts = np.arange(3)

    def on_trade(self, ctx, trade):
        self.n += 1
        self.counts[2] += self.n
        trade.out = self.one.add(trade.px) * self.weights[0] + self.two.add(1.0)


class Doubling(State):
    x: float = 1.0

    def step(self, ctx, ev):
        ev.out = self.x * 2


class Tripling(State):
    x: float = 1.0

    def step(self, ctx, ev):
        ev.out = self.x * 3


class Both(State):
    a: Doubling
    b: Tripling

    def __init__(self) -> None:
        self.a = Doubling()
        self.b = Tripling()

    def on_trade(self, ctx, ev):
        self.a.step(ctx, ev)
        first = ev.out
        self.b.step(ctx, ev)
        ev.out += 10.0 * first


def record_of(state: State) -> np.ndarray:
    row = np.zeros(1, state.record_dtype())
    state.write(row[0])
    return row


def run(state: State, handler, tmp_path, px: float = 0.0) -> tuple[float, bytes]:
    """One call interpreted and one compiled on equal records: equal bytes, equal output."""
    ctx, ev, row = np.zeros(1, CTX), np.zeros(1, EV), record_of(state)
    ev["px"] = px
    getattr(view_class(state)(row[0]), handler)(ctx.view(np.recarray)[0], ev.view(np.recarray)[0])
    if COMPILED:
        fast, fast_ev, raised = record_of(state), np.zeros(1, EV), np.zeros(1, np.int64)
        fast_ev["px"] = px
        body = state.record_methods()[handler]
        address, keep = compile_handler(body, (fast.dtype, CTX, EV), tmp_path, f"{type(state).__name__}_{handler}")
        assert call_handler(address, address_of(fast), address_of(ctx), address_of(fast_ev), address_of(raised)) == 0
        assert keep is not None
        assert fast.tobytes() == row.tobytes()
        assert fast_ev.tobytes() == ev.tobytes()
    return float(ev["out"][0]), row.tobytes()


def test_scalar_fields_and_the_marker():
    dtype = Scalars().record_dtype()
    assert dtype.names == ("price", "count", "open", Scalars._marker)
    assert [dtype[n].str for n in ("price", "count", "open")] == ["<f8", "<i8", "|b1"]
    row = record_of(Scalars())
    assert (row["price"][0], row["count"][0], row["open"][0]) == (1.5, 3, True)


def test_nested_states_and_arrays(tmp_path):
    dtype = Outer().record_dtype()
    assert dtype["one"] == dtype["two"] == Inner().record_dtype()
    assert dtype["weights"].shape == (2,)
    assert dtype["counts"].subdtype == (np.dtype("i8"), (3,))
    # one: 2 + 4 = 6, halved 3; two: 10 + 1 = 11.
    assert run(Outer(), "on_trade", tmp_path, px=4.0)[0] == 14.0


def test_equal_fields_with_other_methods_are_told_apart(tmp_path):
    assert Doubling().record_dtype()["x"] == Tripling().record_dtype()["x"]
    assert Doubling._marker != Tripling._marker
    assert run(Both(), "on_trade", tmp_path)[0] == 23.0


def test_values_of_the_instance_are_written():
    state = Scalars()
    state.price, state.count, state.open = 7, np.int64(8), np.bool_(False)
    row = record_of(state)
    assert (row["price"][0], row["count"][0], row["open"][0]) == (7.0, 8, False)


def test_a_missing_default_is_named():
    class NoDefault(State):
        qty: float

    with pytest.raises(StrategyError, match=r"NoDefault\.qty has no value: give it a default, as in `qty: float = "):
        NoDefault().record_dtype()


def test_a_field_that_cannot_be_a_field_is_named():
    class Texts(State):
        name: str = "x"

    with pytest.raises(StrategyError, match=r"Texts\.name is annotated str: .* must be float, int, bool"):
        Texts().record_dtype()


def test_an_array_of_another_kind_is_named():
    class Narrow(State):
        sizes: np.ndarray = np.zeros(3, np.float32)

    with pytest.raises(StrategyError, match=r"Narrow\.sizes is an array of float32: use float64 or int64"):
        Narrow().record_dtype()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("price", "high", r"Scalars\.price must be float, found 'high' of type str"),
        ("count", 1.5, r"Scalars\.count must be int, found 1\.5 of type float"),
        ("count", True, r"Scalars\.count must be int, found True of type bool"),
        ("open", 1, r"Scalars\.open must be bool, found 1 of type int"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(field, value, message):
    state = Scalars()
    setattr(state, field, value)
    with pytest.raises(StrategyError, match=message):
        state.write(np.zeros(1, state.record_dtype())[0])


def test_inherited_fields_come_first_and_methods_of_bases_are_there():
    class More(Inner):
        extra: int = 1

        def add(self, x):
            return x

        def twice(self, x):
            return 2 * x

    assert More().record_dtype().names == ("total", "extra", More._marker)
    assert set(More.record_methods()) == {"add", "twice"}
    assert More.record_methods()["add"] is More.add


def test_the_marker_changes_with_the_source(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    text = "from tercel.features.state import State\n\n\nclass S(State):\n    x: float = 0.0\n\n"
    text += "    def f(self):\n        return {}\n"
    markers = []
    for name, body in (("state_v1", "1"), ("state_v2", "2"), ("state_v3", "1")):
        (tmp_path / f"{name}.py").write_text(text.format(body))
        markers.append(__import__(name).S._marker)
    assert markers[0] != markers[1]
    assert markers[0] == markers[2]


def test_classes_without_source_still_have_a_digest():
    scope: dict = {"State": State}
    exec("class S(State):\n    x: float = 0.0\n    def f(self):\n        return 1.0", scope)
    first = source_digest(scope["S"])
    exec("class S(State):\n    x: float = 0.0\n    def f(self):\n        return 2.0", scope)
    assert first != source_digest(scope["S"])


def test_the_view_names_what_is_not_there():
    view = view_class(Inner())(record_of(Inner())[0])
    assert view.add(1.0) == 3.0
    with pytest.raises(AttributeError, match="Inner has no field or method 'missing'"):
        _ = view.missing
    with pytest.raises(AttributeError, match="Inner has no field 'missing'"):
        view.missing = 1.0


def test_views_of_nested_states_write_through():
    row = record_of(Outer())
    view = view_class(Outer())(row[0])
    view.two.total = 5.0
    assert row["two"]["total"][0] == 5.0
    assert type(view.n) is int
    assert type(view.one.total) is float


def test_a_field_takes_the_shape_of_the_indicator_it_holds():
    class Strategy(State):
        fast: Ema = Ema(span=50)

    row = record_of(Strategy())
    assert row["fast"]["alpha"][0] == 2 / 51
    assert row["fast"]["n_ready"][0] == 50
