"""A pool of threads for blocking calls that grows when all are busy and shrinks when they are idle.

The standard pool keeps every thread it ever made; this one ends a thread that had nothing to do for the keep-alive. The
thread that was busy last is used first, so that the surplus can end. Called by `offload` alone.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable

from tercel.errors import CapacityError, ConfigError
from tercel.runtime.capacities import BLOCKING_CALLS_MAX, BLOCKING_THREADS_MAX

__all__ = ["KEEP_ALIVE_S", "STACK_BYTES", "ThreadPool"]

KEEP_ALIVE_S = 60.0
STACK_BYTES = 4 * 1024 * 1024

_Job = Callable[[], None]


class _Worker:
    """One thread and the box its next job is put in; None tells it to end."""

    __slots__ = ("inbox", "thread")

    def __init__(self, name: str, work: Callable[[_Worker], None]) -> None:
        self.inbox: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        # Daemons: a blocking call that never returns must not keep a stopped session from exiting.
        self.thread = threading.Thread(target=work, args=(self,), name=name, daemon=True)


class ThreadPool:
    """Runs jobs, functions without argument that raise nothing, each once, in order of arrival when all are busy.

    threads_max: at the maximum jobs wait. jobs_max: jobs that may wait; at the maximum `submit` raises CapacityError.
    """

    def __init__(
        self,
        *,
        threads_max: int = BLOCKING_THREADS_MAX,
        jobs_max: int = BLOCKING_CALLS_MAX,
        keep_alive_s: float = KEEP_ALIVE_S,
        name: str = "tercel-blocking",
    ) -> None:
        if not 1 <= threads_max <= BLOCKING_THREADS_MAX:
            raise ConfigError(f"threads_max must be 1 to {BLOCKING_THREADS_MAX}, found {threads_max}")
        self._threads_max = threads_max
        self._jobs_max = jobs_max
        self._keep_alive_s = keep_alive_s
        self._name = name
        self._lock = threading.Lock()
        self._all_ended = threading.Condition(self._lock)
        self._idle: list[_Worker] = []
        self._waiting: deque[_Job] = deque()
        self._is_open = True
        self._n_made = 0
        self.n_threads = 0
        self.n_threads_max = 0

    @property
    def n_idle(self) -> int:
        """Threads that wait for a job."""
        return len(self._idle)

    @property
    def n_waiting(self) -> int:
        """Jobs that wait for a thread."""
        return len(self._waiting)

    def submit(self, job: _Job) -> None:
        """Run `job` in a thread: one that is idle, else a new one, else the first that is free.

        Raises CapacityError when too many jobs wait, the pool is closed, or the system gives not even one thread.
        """
        with self._lock:
            if not self._is_open:
                raise CapacityError(f"the thread pool {self._name!r} is closed")
            if self._idle:
                self._idle.pop().inbox.put(job)
            elif self.n_threads < self._threads_max and self._start(job):
                pass
            elif len(self._waiting) < self._jobs_max:
                self._waiting.append(job)
            else:
                raise CapacityError(
                    f"{self.n_threads} threads are busy and {len(self._waiting)} blocking calls wait, the maximum; "
                    f"make fewer calls at once"
                )

    def close(self, timeout_s: float | None = None) -> bool:
        """Take no more jobs, drop those that wait, end idle threads, and wait for busy ones at most `timeout_s`.

        Returns whether every thread has ended.
        """
        with self._lock:
            self._is_open = False
            self._waiting.clear()
            idle, self._idle = self._idle, []
            for worker in idle:
                worker.inbox.put(None)
            return self._all_ended.wait_for(lambda: self.n_threads == 0, timeout_s)

    def _start(self, job: _Job) -> bool:
        """Make a thread for `job`. Returns False when the system gives no more and others can do it."""
        self._n_made += 1
        worker = _Worker(f"{self._name}-{self._n_made}", self._work)
        worker.inbox.put(job)
        # The size counts for threads started from here on; others in the process keep theirs.
        before = threading.stack_size(STACK_BYTES)
        try:
            worker.thread.start()
        except RuntimeError as error:
            if self.n_threads == 0:
                raise CapacityError(f"the system gives no thread for a blocking call: {error}") from error
            return False
        finally:
            threading.stack_size(before)
        self.n_threads += 1
        self.n_threads_max = max(self.n_threads_max, self.n_threads)
        return True

    def _work(self, worker: _Worker) -> None:
        try:
            while True:
                job = self._next(worker)
                if job is None:
                    return
                job()
                del job
        finally:
            with self._lock:
                self.n_threads -= 1
                if self.n_threads == 0:
                    self._all_ended.notify_all()

    def _next(self, worker: _Worker) -> _Job | None:
        """The next job for this thread, None when it is to end."""
        try:
            return worker.inbox.get_nowait()
        except queue.Empty:
            pass
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            if not self._is_open:
                return None
            self._idle.append(worker)
        try:
            return worker.inbox.get(timeout=self._keep_alive_s)
        except queue.Empty:
            pass
        with self._lock:
            if worker in self._idle:
                self._idle.remove(worker)
                return None
        # Chosen for a job between the end of the wait and the lock.
        return worker.inbox.get()
