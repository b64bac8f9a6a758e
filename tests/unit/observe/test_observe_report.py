"""The HTML report: complete in itself, safe with hostile text, small, and alive in a real browser where one is."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from random_runlog import BTC, COIN, ETH, START_NS, random_runlog

from tercel.model.runlog import SAMPLE, RunLog
from tercel.observe.definitions import DEFINITIONS
from tercel.observe.downsample import evenly, histogram, minmax_rows
from tercel.observe.report import report_html
from tercel.observe.results import Result
from tercel.observe.text import value_text

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: the report was not opened in a browser")


def data_of(page: str) -> dict:
    """The JSON the page's script is given."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S).group(1))


class Balance(HTMLParser):
    """Fails on a closing tag that does not match; collects ids and addresses."""

    VOID = frozenset({"meta", "link", "br", "img", "input", "rect", "path"})

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.ids += [v for k, v in attrs if k == "id"]
        self.addresses += [v for k, v in attrs if k in ("src", "href", "action")]
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.stack.pop() == tag


@pytest.fixture(scope="module")
def result() -> Result:
    return Result(random_runlog(2, 300, (BTC, ETH), ("Quoter", HOSTILE)))


def test_page_is_whole_and_fetches_nothing(result):
    page = report_html(result)
    parser = Balance()
    parser.feed(page)
    assert parser.stack == []
    assert len(parser.ids) == len(set(parser.ids))
    assert set(parser.addresses) == {"data:,"}
    assert not re.search(r"https?://|@import|url\((?!#)", page.replace("url(#' + clip", ""))
    assert "$" not in re.sub(r"<script.*?</script>", "", page, flags=re.S)


def test_hostile_names_stay_text(result):
    page = report_html(result)
    assert "<script>alert" not in page
    assert "<img" not in page
    assert html.escape(HOSTILE) in page
    assert page.count("</script>") == 2


def test_every_statistic_is_shown_with_its_definition(result):
    page = report_html(result)
    for d in DEFINITIONS:
        value = value_text(d, result.stats[d.key], result.currency).replace("-", "−", 1)
        tip = f'id="def-{d.key}">{html.escape(d.formula)}</span></dt><dd class="'
        assert f">{html.escape(value)}</dd>" in page[page.index(tip) :][: len(tip) + 60], d.key


def test_chart_data_is_the_result(result):
    data = data_of(report_html(result))
    assert [i["name"] for i in data["instruments"]] == ["BTCUSDT", "ETHUSDT"]
    assert sum(i["n_fills"] for i in data["instruments"]) == result.fills.height
    assert data["equity"]["v"][-1] == pytest.approx(result.equity["equity"][-1], rel=1e-9)
    assert min(data["drawdown"]["v"]) == pytest.approx(-100 * result.stats["max_drawdown"], rel=1e-9)
    assert data["origin_ms"] * 1_000_000 == START_NS
    assert sum(data["latency"]["counts"]) == result.orders["entry_latency_ns"].drop_nulls().len()
    assert sum(data["queue"]["counts"]) == result.orders["queue_wait_ns"].drop_nulls().len()


@pytest.mark.parametrize("instruments", [(COIN,), (BTC, COIN)])
def test_inverse_and_mixed_runs_have_a_page(instruments):
    data = data_of(report_html(Result(random_runlog(3, 60, instruments))))
    assert data["equity"]["unit"] == ("BTC" if len(instruments) == 1 else "% of start")
    assert data["instruments"][-1]["size_unit"] == "contracts"


def test_a_run_in_which_nothing_happened_is_told_kindly():
    page = report_html(Result(RunLog(instruments=[BTC], strategies=["Idle"])))
    assert "nothing was refused by the gate or rejected by the venue" in page
    assert "No order filled in this run" in page


def test_a_million_samples_fit_in_two_megabytes():
    rng = np.random.default_rng(7)
    samples = np.zeros(1_000_000, SAMPLE)
    samples["ts"] = START_NS + np.arange(1_000_000) * 100_000_000
    samples["mid"] = 58_000 + rng.normal(0, 0.1, 1_000_000).cumsum()
    samples["position"] = rng.integers(-50, 50, 1_000_000)
    samples["equity"] = rng.normal(0, 1e8, 1_000_000).cumsum().astype(np.int64)
    log = RunLog(
        instruments=[BTC], strategies=["Long"], samples=samples, start_ns=START_NS, end_ns=int(samples["ts"][-1])
    )
    page = report_html(Result(log))
    assert 200_000 < len(page.encode()) < 2_000_000
    values = data_of(page)["instruments"][0]["mid"]["v"]
    assert (min(values), max(values)) == pytest.approx((samples["mid"].min(), samples["mid"].max()), rel=1e-9)


def test_downsampling_keeps_extremes_ends_and_order():
    rng = np.random.default_rng(3)
    ts = np.sort(rng.integers(0, 10**12, 50_000))
    values = rng.normal(size=50_000)
    values[31_234] = 99.0
    rows = minmax_rows(ts, values, 1_000)
    assert len(rows) <= 1_000
    assert (np.diff(rows) > 0).all()
    assert rows[0] == 0
    assert rows[-1] == 49_999
    assert 31_234 in rows
    assert minmax_rows(ts[:900], values[:900], 1_000).tolist() == list(range(900))
    assert evenly(10, 4).tolist() == [0, 3, 6, 9]


def test_histograms_count_everything():
    edges, counts, log = histogram(np.array([5.0] * 7))
    assert (edges.tolist(), counts.tolist(), log) == ([4.75, 5.25], [7], False)
    edges, counts, log = histogram(np.exp(np.random.default_rng(1).normal(10, 2, 5_000)))
    assert log
    assert counts.sum() == 5_000
    assert (np.diff(edges) > 0).all()
    edges, counts, log = histogram(np.array([-3.0, 0.0, 4.0, 5.0]))
    assert not log
    assert counts.sum() == 4
    assert len(counts) == 8
    edges, counts, log = histogram(np.array([4.0, 4.0, 6.0, 6.0, 6.0, 10.0, 10.0]))
    assert edges.tolist() == [3.0, 5.0, 7.0, 9.0, 11.0]
    assert counts.tolist() == [2, 3, 0, 2]
    assert histogram(np.zeros(0))[1].tolist() == []


def browse(page: Path, profile: Path, *options: str) -> tuple[str, str]:
    """Open a page in a headless browser; its final DOM, and what it wrote to the console."""
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr",
        f"--user-data-dir={profile}", "--virtual-time-budget=2000", *options, "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    env = {**os.environ, "HOME": str(profile)}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=True)
    console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    return done.stdout, console


@needs_browser
def test_browser_draws_every_chart_without_errors(result, tmp_path):
    dom, console = browse(result.report(tmp_path / "run.html"), tmp_path / "profile", "--window-size=1280,900")
    assert console == ""
    assert 'data-ready="true"' in dom
    assert 'class="error"' not in dom
    shown = int((result.fills["instrument"] == "BTCUSDT").sum())
    assert len(re.findall(r'<path class="fill (?:buy|sell) (?:maker|taker)" transform', dom)) == shown > 0
    assert len(re.findall(r'<path class="line (?:equity|drawdown|mid|position)"', dom)) == 4
    assert len(re.findall(r'<svg[^>]* role="img" aria-label="[A-Z]', dom)) == 6
    bars = len(re.findall(r'<rect class="hist" data-i="\d', dom))
    assert bars == sum(n > 0 for d in ("latency", "queue") for n in data_of(dom)[d]["counts"])
    drawn = re.sub(r"<script.*?</script>", "", dom, flags=re.S)
    assert not any(word in drawn for word in ("NaN", "Infinity", "undefined", "[object"))


@needs_browser
def test_browser_zooms_follows_the_pointer_and_changes_instrument(result, tmp_path):
    """Drives the page's own listeners with real events, from a script added to a copy without its script policy."""
    drive = """
      const svg = (id) => document.querySelector('#' + id + ' svg[tabindex]');
      const send = (id, type, share) => {
        const b = svg(id).getBoundingClientRect();
        const at = { clientX: b.left + share * b.width, clientY: b.top + 40 };
        svg(id).dispatchEvent(new PointerEvent(type, { bubbles: true, button: 0, ...at }));
      };
      const note = (key, value) => document.body.setAttribute('data-' + key, value);
      const span = () => document.getElementById('window').textContent;
      note('whole', span());
      send('price', 'pointermove', 0.5);
      const read = document.querySelector('#position .read').textContent;
      note('cross', document.querySelectorAll('.cross').length + ' ' + read);
      send('equity', 'pointerdown', 0.4); send('equity', 'pointermove', 0.6); send('equity', 'pointerup', 0.6);
      note('zoomed', span());
      svg('drawdown').dispatchEvent(new KeyboardEvent('keydown', { key: '0', bubbles: true }));
      note('reset', span());
      const pick = document.getElementById('instrument'); pick.value = '1'; pick.dispatchEvent(new Event('change'));
      note('fills', document.querySelectorAll('#price path.fill[transform]').length);
    """
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", report_html(result))
    path = tmp_path / "driven.html"
    path.write_text(page.replace("</body>", f"<script>{drive}</script></body>"), "utf-8")
    dom, console = browse(path, tmp_path / "profile", "--window-size=1280,900")
    assert console == ""
    noted = dict(re.findall(r'data-(\w+)="([^"]*)"', re.search(r"<body[^>]*>", dom).group(0)))
    assert noted["whole"] == noted["reset"] == "2024-08-08 00:00:00.000 to 2024-08-08 00:03:20.000 UTC"
    assert noted["cross"].startswith("4 ")
    assert noted["cross"].endswith("BTC")
    zoomed = re.findall(r"00:(\d\d):(\d\d\.\d+)", noted["zoomed"])
    first, last = (60 * int(m) + float(s) for m, s in zoomed)
    assert 60 < first < 90
    assert 110 < last < 140
    assert int(noted["fills"]) == (result.fills["instrument"] == "ETHUSDT").sum()


@needs_browser
@pytest.mark.parametrize("width", [400, 1440])
def test_browser_shows_an_empty_run_and_a_narrow_window(tmp_path, width):
    page = Result(RunLog(instruments=[BTC], strategies=["Idle"])).report(tmp_path / "empty.html")
    dom, console = browse(page, tmp_path / "profile", f"--window-size={width},900")
    assert console == ""
    assert 'data-ready="true"' in dom
    assert 'class="error"' not in dom
    assert "No equity samples were recorded." in dom
    assert "No order was answered" in dom
