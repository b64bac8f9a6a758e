"""The heartbeat, stepped by hand."""

import pytest

from tercel.errors import ConfigError
from tercel.net.heartbeat import NEVER, Heartbeat, Liveness, Verdict

S = 1_000_000_000


def test_pings_at_its_interval_and_takes_the_answer():
    beat = Heartbeat(Liveness(ping_every_s=15, pong_within_s=10), 0)
    assert beat.next_wake_ns == 15 * S
    assert beat.on_wake(15 * S - 1, 0) is Verdict.NOTHING
    assert beat.on_wake(15 * S, 0) is Verdict.PING
    assert beat.next_wake_ns == 25 * S
    beat.on_pong(beat.payload, 15 * S + 250)
    assert beat.rtt_ns == 250
    assert beat.next_wake_ns == 30 * S
    assert beat.on_wake(30 * S, 0) is Verdict.PING


def test_data_is_no_answer_to_a_ping():
    beat = Heartbeat(Liveness(ping_every_s=15, pong_within_s=10), 0)
    assert beat.on_wake(15 * S, 5) is Verdict.PING
    assert beat.on_wake(25 * S - 1, 900) is Verdict.NOTHING
    assert beat.on_wake(25 * S, 1000) is Verdict.NO_PONG


def test_a_pong_to_an_older_ping_or_to_none_does_not_count():
    beat = Heartbeat(Liveness(ping_every_s=15, pong_within_s=10), 0)
    beat.on_pong(beat.payload, 1)
    assert beat.rtt_ns == 0
    beat.on_wake(15 * S, 0)
    old = beat.payload
    beat.on_pong(old, 16 * S)
    assert beat.on_wake(30 * S, 0) is Verdict.PING
    beat.on_pong(old, 31 * S)
    assert beat.on_wake(40 * S, 0) is Verdict.NO_PONG


def test_a_second_ping_waits_for_the_first_answer():
    beat = Heartbeat(Liveness(ping_every_s=5, pong_within_s=12), 0)
    assert beat.on_wake(5 * S, 0) is Verdict.PING
    assert beat.on_wake(10 * S, 0) is Verdict.NOTHING
    assert beat.on_wake(15 * S, 0) is Verdict.NOTHING
    assert beat.next_wake_ns == 17 * S
    assert beat.on_wake(17 * S, 0) is Verdict.NO_PONG


def test_silence_is_found_within_a_quarter_and_pongs_do_not_break_it():
    beat = Heartbeat(Liveness(ping_every_s=0, silent_after_s=8), 0)
    verdicts = {}
    for second in range(2, 40, 2):
        n_messages = 1 if second < 7 else 2  # the second message came between 6 s and 8 s
        verdicts[second] = beat.on_wake(second * S, n_messages)
        if verdicts[second] is Verdict.SILENT:
            break
    assert second == 16


def test_nothing_is_watched_when_all_is_off():
    beat = Heartbeat(Liveness(ping_every_s=0), 7)
    assert beat.next_wake_ns == NEVER
    assert beat.on_wake(10**15, 0) is Verdict.NOTHING


@pytest.mark.parametrize("bad", [{"ping_every_s": -1}, {"pong_within_s": 0}, {"silent_after_s": -0.1}])
def test_intervals_are_checked(bad):
    with pytest.raises(ConfigError):
        Liveness(**bad)
