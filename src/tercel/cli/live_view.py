"""A live session on the terminal: a panel that moves where somebody looks, a line now and then anywhere else.

Draws `live.glance.Glance` values and nothing else; looks at most some times a second, never on the hot path. Fits 80
columns and uses what a wider terminal has. Called by `paper`, `live`, `replay` and `demo`.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tercel.clock import wall_ns

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from tercel.live.glance import Glance, InstrumentGlance, LinkGlance

__all__ = ["LiveView", "glance_line", "glance_panel"]

_ORDERS_SHOWN, _FILLS_SHOWN = 6, 6
#: Terminals narrower than this get fewer columns.
_WIDE = 100


def _number(value: float, decimals: int) -> str:
    return f"{value:,.{decimals}f}"


def _quantity(value: float) -> str:
    return f"{value:,.8f}".rstrip("0").rstrip(".") if value else "0"


def _money(value: float) -> str:
    return f"{value:+,.2f}"


def _style(value: float) -> str:
    return "green" if value > 0 else "red" if value < 0 else ""


def _clock(ts_ns: int) -> str:
    moment = datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC)
    return f"{moment:%H:%M:%S}.{ts_ns // 1_000_000 % 1000:03d}"


def _latency(seen: Glance) -> str:
    if seen.tick_to_order_us is None:
        return "no orders yet"
    p50, p99 = seen.tick_to_order_us
    return f"p50 {p50:,.0f} us, p99 {p99:,.0f} us"


def glance_line(seen: Glance) -> str:
    """A session in one line, for logs and pipes."""
    parts = [f"{_clock(seen.now_ns)} {'HALTED: ' + seen.halted if seen.halted else seen.state}"]
    for one in seen.instruments[:2]:
        at = f"{_number(one.bid, one.decimals)}/{_number(one.ask, one.decimals)}"
        parts.append(f"{one.symbol} {at} position {_quantity(one.position)}")
    parts.append(f"equity {_money(seen.equity)}")
    parts.append(f"{len(seen.orders)} open, {seen.n_fills} fills, {seen.n_refused} refused")
    if seen.tick_to_order_us is not None:
        parts.append(_latency(seen))
    parts += _waited_for(seen)
    return " | ".join(parts)


def glance_panel(seen: Glance, *, title: str, width: int, left: str = "") -> RenderableType:
    """A session as a panel. left: how much time is left, where that is known."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    wide = width >= _WIDE
    parts: list[RenderableType] = [_head(seen, left), Text(""), _instruments(seen, wide), Text("")]
    parts += [_orders(seen, wide), Text(""), _fills(seen, wide)]
    waited = _waited_for(seen)
    if waited:
        parts += [Text(""), *(Text(line, "yellow", no_wrap=True, overflow="ellipsis") for line in waited)]
    if seen.refusals:
        words = ", ".join(f"{name} {n:,}" for name, n in sorted(seen.refusals.items(), key=lambda x: -x[1])[:4])
        parts += [Text(""), Text(f"refused by the risk gate: {words}", "yellow", no_wrap=True, overflow="ellipsis")]
    style = "red" if seen.halted else "green" if seen.state == "trading" else "yellow"
    return Panel(Group(*parts), title=Text(title), title_align="left", border_style=style, width=min(width, 120))


def _head(seen: Glance, left: str) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 3))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, overflow="ellipsis")
    state = Text(f"HALTED: {seen.halted}", "bold red") if seen.halted else Text(seen.state, "bold")
    is_over = seen.state in ("flush", "stopped")
    lost = "" if is_over else f"connections lost {sum(link.n_lost for link in seen.links)}"
    links = ", ".join(f"{x.name} {'closed' if is_over else _standing(x)}" for x in seen.links)
    grid.add_row(
        Text.assemble("state ", state),
        Text.assemble("equity ", (_money(seen.equity), f"bold {_style(seen.equity)}".strip())),
        Text(f"{_clock(seen.now_ns)} UTC" + (f", {left} left" if left else "")),
    )
    grid.add_row(f"rows {seen.n_rows:,}", f"commands {seen.n_commands:,}", f"fills {seen.n_fills:,}")
    grid.add_row(f"refused {seen.n_refused:,}", lost, f"venue {links}")
    grid.add_row("tick to order", _latency(seen), "")
    return grid


def _waited_for(seen: Glance) -> list[str]:
    """A line for each connection that commands wait for."""
    if seen.state not in ("connect", "reconcile", "trading"):
        return []
    links = (link for link in seen.links if link.waits_for)
    return [f"{x.name} waits for {x.waits_for}" + (f": {x.said}" if x.said else "") for x in links]


def _standing(link: LinkGlance) -> str:
    return "open" if link.is_open else "in step" if link.is_live else "connecting"


def _table(*columns: tuple[str, str]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim", expand=False)
    for name, justify in columns:
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    return table


def _instruments(seen: Glance, wide: bool) -> RenderableType:
    from rich.text import Text

    extra = (("fees", "right"), ("volume", "right"), ("fills", "right")) if wide else ()
    table = _table(("", "left"), ("bid size", "right"), ("bid", "right"), ("ask", "right"), ("ask size", "right"),
                   ("position", "right"), ("equity", "right"), *extra)  # fmt: skip
    for one in seen.instruments:
        table.add_row(Text(one.symbol, "bold"), *_instrument_cells(one, wide))
    return table


def _instrument_cells(one: InstrumentGlance, wide: bool) -> list[RenderableType]:
    from rich.text import Text

    cells: list[RenderableType] = [
        _quantity(one.bid_qty),
        Text(_number(one.bid, one.decimals), "green"),
        Text(_number(one.ask, one.decimals), "red"),
        _quantity(one.ask_qty),
        Text(_quantity(one.position), _style(one.position)),
        Text(_money(one.equity), _style(one.equity)),
    ]
    if wide:
        cells += [_money(-one.fee), _quantity(one.volume), f"{one.n_fills:,}"]
    return cells


def _orders(seen: Glance, wide: bool) -> RenderableType:
    from rich.text import Text

    decimals = {one.symbol: one.decimals for one in seen.instruments}
    columns = [("orders", "left"), ("", "left"), ("price", "right"), ("size", "right"), ("filled", "right"),
               ("state", "left"), ("age s", "right")]  # fmt: skip
    table = _table(*columns, *((("id", "right"),) if wide else ()))
    for order in seen.orders[:_ORDERS_SHOWN]:
        cells: list[RenderableType] = [
            order.symbol,
            Text(order.side, "green" if order.side == "buy" else "red"),
            _number(order.price, decimals.get(order.symbol, 2)),
            _quantity(order.qty),
            _quantity(order.filled),
            order.state,
            f"{order.age_s:,.1f}",
        ]
        table.add_row(*cells, *([f"{order.id:x}"] if wide else []))
    for _ in range(_ORDERS_SHOWN - min(len(seen.orders), _ORDERS_SHOWN)):
        table.add_row("")
    return table


def _fills(seen: Glance, wide: bool) -> RenderableType:
    from rich.text import Text

    decimals = {one.symbol: one.decimals for one in seen.instruments}
    table = _table(("fills", "left"), ("", "left"), ("", "left"), ("price", "right"), ("size", "right"),
                   ("fee", "right"), ("", "left"))  # fmt: skip
    for fill in seen.fills[:_FILLS_SHOWN]:
        table.add_row(
            _clock(fill.ts_ns),
            fill.symbol,
            Text(fill.side, "green" if fill.side == "buy" else "red"),
            _number(fill.price, decimals.get(fill.symbol, 2)),
            _quantity(fill.qty),
            f"{fill.fee:,.4f}",
            "maker" if fill.is_maker else "taker",
        )
    for _ in range(_FILLS_SHOWN - min(len(seen.fills), _FILLS_SHOWN)):
        table.add_row("")
    return table


class LiveView:
    """Shows a session while it runs. Use as a context; give it a glance now and then.

    Draws on stderr, so that stdout stays for results. On a terminal a panel is drawn anew each time; elsewhere one line
    every `line_s` seconds of the session's time.
    """

    def __init__(self, title: str, *, line_s: float = 5.0, console: Console | None = None) -> None:
        from rich.console import Console

        self._console = console or Console(stderr=True, highlight=False)
        self._title = title
        self._line_ns = round(line_s * 1e9)
        self._next_line_ns = 0
        self._live: Any = None

    @property
    def is_moving(self) -> bool:
        """Whether a panel is drawn, worth several glances a second."""
        return self._console.is_terminal

    def __enter__(self) -> LiveView:
        if self.is_moving:
            from rich.live import Live

            self._live = Live(console=self._console, auto_refresh=False, transient=False)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def note(self, text: str) -> None:
        """Print a line that stays: what the session has to say beside its numbers."""
        self._console.print(f"{_clock(wall_ns())} {text}", markup=False, soft_wrap=True, highlight=False)
        sys.stderr.flush()

    def show(self, seen: Glance, *, left: str = "", last: bool = False) -> None:
        """Show a session as it is now. last: nothing follows, so a line is printed whatever the time."""
        if self._live is not None:
            panel = glance_panel(seen, title=self._title, width=self._console.width, left=left)
            self._live.update(panel, refresh=True)
        elif last or seen.now_ns >= self._next_line_ns:
            self._next_line_ns = seen.now_ns + self._line_ns
            self._console.print(glance_line(seen), markup=False, soft_wrap=True)
            sys.stderr.flush()
