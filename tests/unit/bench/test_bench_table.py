import io
import json

from tercel.bench.table import Reach, make_row, not_installed, rows_to_json, table


def drawn(rows):
    from rich.console import Console

    console = Console(width=220, record=True, file=io.StringIO())
    console.print(table(rows))
    return console.export_text()


def test_the_ratio_says_how_many_times_better_ours_is():
    row = make_row("q", unit="ns per row", ours=20.0, theirs=80.0, peer="p 1", difference="")
    assert row.ratio == 4.0
    assert row.same_results is True
    assert row.reached is None


def test_reach_needs_both_the_figure_and_the_ratio():
    reach = Reach(ours_max=25, ratio_min=3)
    assert make_row("q", unit="ns", ours=25.0, theirs=75.0, reach=reach, difference="").reached is True
    assert make_row("q", unit="ns", ours=25.1, theirs=100.0, reach=reach, difference="").reached is False
    assert make_row("q", unit="ns", ours=20.0, theirs=59.0, reach=reach, difference="").reached is False
    assert make_row("q", unit="ns", ours=20.0, reach=reach).reached is None
    assert make_row("q", unit="ns", ours=26.0, reach=reach).reached is False
    assert reach.text("ns") == "at most 25 ns, 3 times the peer"


def test_a_fast_row_with_other_results_does_not_count_as_reached():
    row = make_row(
        "q", unit="ns", ours=1.0, theirs=9.0, peer="p", reach=Reach(ratio_min=2), difference="fill 0 differs: x"
    )
    assert row.reached is False
    assert row.same_results is False
    assert row.note == "results differ: fill 0 differs: x"
    assert "DIFFER" in drawn([row])


def test_a_missing_peer_leaves_ours_standing():
    row = not_installed("q", unit="ns", ours=12.0, peer="hftbacktest", reach=Reach(ratio_min=3))
    assert (row.ours, row.theirs, row.ratio, row.same_results, row.reached) == (12.0, None, None, None, None)
    assert "pip install 'tercel[bench]'" in row.note
    assert "pip install 'tercel[bench]'" in drawn([row])


def test_json_is_a_list_of_objects_with_the_agreed_names():
    rows = [make_row("a", unit="ns", ours=2.0, theirs=6.0, peer="p 1", reach=Reach(ratio_min=3), difference="")]
    (found,) = json.loads(rows_to_json(rows))
    assert found == {
        "question": "a",
        "ours": 2.0,
        "theirs": 6.0,
        "unit": "ns",
        "peer": "p 1",
        "ratio": 3.0,
        "reach": "3 times the peer",
        "reached": True,
        "same_results": True,
        "note": "",
    }


def test_markup_in_a_note_is_text():
    row = make_row("[red]q[/]", unit="ns", ours=2.0, note="[bold]n[/]")
    text = drawn([row])
    assert "[red]q[/]" in text
    assert "[bold]n[/]" in text
