"""The messages of one market channel by the compiled path of its venue, as far as that goes; the rest by the long way.

A message is scanned, journaled, stepped and answered in one compiled call, its orders are written before anything is
booked. Where the call stops early, `flow` goes on at that very row: both ways give the same rows, commands and bytes.
Made by `driver`, one for each channel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tercel.venues.contract import FastPath, Send

if TYPE_CHECKING:
    from tercel.live.driver import LiveCore
    from tercel.live.link import Link

__all__ = ["FastChannel", "Message", "direct"]

Message = bytes | bytearray | memoryview

_N_ROWS, _I_ROW, _ENDS = FastPath.N_ROWS, FastPath.I_ROW, FastPath.ENDS


class FastChannel:
    """Hears one market channel of a link.

    slow: takes a message by the long way. run: calls what is given with what follows it; whoever reads the socket does
    there what an input asks for. Before it nothing but the write has happened outside of this stack.
    """

    def __init__(
        self,
        core: LiveCore,
        link: Link,
        name: str,
        path: FastPath,
        slow: Callable[[Message, int], None],
        run: Callable[..., None],
    ) -> None:
        self.name = name
        self._core, self._link, self._path, self._slow, self._run = core, link, path, slow, run
        self._flow, self._feed = core.flow, core.flow.feed
        self._rows, self._effects = link.connection.rows, link.connection.effects
        self._writers = link.connection.writers
        self._call, self._at, self._answer, self._out = path.call, path.at, path.answer, path.out
        self._window, self._channel = path.window, path.channel
        # The longest message that may come this way, 0 while the link is closed.
        self._n_max = 0
        link.channels.append(self)
        self.open(link.is_open)

    def open(self, is_open: bool) -> None:
        """Commands may leave from now on, or no longer."""
        self._n_max = 0
        if is_open:
            # What may have moved since is taken up again: the engine's wiring, memory that had to grow.
            self._path.sync(self._feed.words())
            self._window, self._n_max = self._path.window, self._path.n_max

    def on_message(self, data: Message, now_ns: int) -> None:
        """One whole message. Up to the write, as little as can be: what is touched here is cold between two ticks."""
        n = len(data)
        if n > self._n_max or now_ns < self._core.now_ns or self._effects:
            self._run(self._stand_aside, data, now_ns)
            return
        try:
            self._window[:n] = data
            found = self._call(self._at, n, now_ns)
            if found == 1:
                request = self._out[: self._answer[_ENDS]]
                write = self._writers.get(self._channel)
                if write is None or not write(request):
                    self._effects.append(Send(self._channel, bytes(request)))
        except Exception as error:
            self._run(self._broken, error)
            return
        if found == 1:
            self._run(self._sent, now_ns)
        elif found == 0:
            self._run(self._done, now_ns)
        else:
            self._run(self._other, found, data, now_ns)

    def _broken(self, error: Exception) -> None:
        """Nothing that is known fails there: the session ends as by any other error that nobody foresaw."""
        raise error

    def _other(self, found: int, data: Message, now_ns: int) -> None:
        if found > 1:
            self._write_each(found)
            self._sent(now_ns)
        elif found == FastPath.STEPPED:
            self._go_on(self._answer[_N_ROWS], now_ns)
        elif found == FastPath.SCANNED:
            self._go_on(0, now_ns)
        else:
            self._stand_aside(data, now_ns)

    def _write_each(self, n: int) -> None:
        write = self._writers.get(self._channel)
        for request in self._path.requests(n):
            # Behind one that had to wait, all wait: they leave in order.
            if write is None or self._effects or not write(request):
                self._effects.append(Send(self._channel, bytes(request)))

    def _done(self, now_ns: int) -> None:
        """Every row was stepped, and nothing follows."""
        if self._flow.taps:
            self._go_on(self._answer[_N_ROWS], now_ns)
        else:
            self._core.now_ns = now_ns

    def _sent(self, now_ns: int) -> None:
        """The requests are on their way: book them, then step on."""
        feed, answer = self._feed, self._answer
        commands = feed.commands()
        self._path.sent(commands, now_ns)
        self._flow.n_commands += len(commands)
        feed.release()
        if answer[_I_ROW] < answer[_N_ROWS] or self._flow.taps:
            self._go_on(answer[_N_ROWS], now_ns)
        else:
            self._core.now_ns = now_ns
            self._core.after_market(self._link, now_ns)

    def _go_on(self, n_kept: int, now_ns: int) -> None:
        """Journal and step the rest of the rows by the long way; `n_kept` of them are in the journal."""
        answer = self._answer
        self._core.now_ns = now_ns
        self._rows.n = answer[_N_ROWS]
        self._flow.take_rows(self._link, now_ns, n_kept, answer[_I_ROW] if n_kept else 0)
        self._core.after_market(self._link, now_ns)

    def _stand_aside(self, data: Message, now_ns: int) -> None:
        """The long way."""
        self._slow(data, now_ns)
        if self._n_max:
            self.open(True)


def direct(action: Callable[..., None], *args: Any) -> None:
    """Call it: the `run` of who has nothing to add."""
    action(*args)
