
"use strict";
// Charts of the report: plain SVG, one shared time window, one shared crosshair. The data element holds times in ms
// since origin_ms and nothing that needs escaping here: names reach the page through textContent or esc().
(function () {
  const DATA = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const esc = (text) => String(text).replace(/[&<>"']/g, (c) => "&#" + c.charCodeAt(0) + ";");
  const whole = DATA.span;
  const minimum = Math.max((whole[1] - whole[0]) / 1e6, 0.001);
  const state = { from: whole[0], to: whole[1], at: null, which: 0 };

  // ---- numbers and time ----
  const number = (value, decimals) =>
    (Math.abs(value) < 0.5 * 10 ** -decimals ? 0 : value).toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals }).replace("-", "−");
  const decimalsOf = (step) => Math.min(12, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));

  function valueTicks(low, high, count) {
    const raw = (high - low) / count || 1;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.75);
    const ticks = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) ticks.push(k * step);
    return { ticks, decimals: decimalsOf(step) };
  }

  const S = 1000, M = 60 * S, H = 60 * M, D = 24 * H;
  const STEPS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, S, 2 * S, 5 * S, 10 * S, 15 * S, 30 * S,
    M, 2 * M, 5 * M, 10 * M, 15 * M, 30 * M, H, 2 * H, 3 * H, 6 * H, 12 * H, D, 2 * D, 7 * D, 14 * D];
  const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const two = (n) => String(n).padStart(2, "0");

  function timeTicks(from, to, count) {
    const step = STEPS.find((s) => (to - from) / s <= count);
    const day = (d) => d.getUTCDate() + " " + MONTHS[d.getUTCMonth()];
    if (!step) return monthTicks(from, to, count);
    const ticks = [];
    let before = null;
    const anchor = ((DATA.origin_ms % D) + D) % D;
    for (let k = Math.ceil((from + anchor) / step - 1e-9); k * step - anchor <= to + 1e-9; k++) {
      const t = k * step - anchor;
      const d = new Date(DATA.origin_ms + Math.round(t * 1000) / 1000 + 1e-7);
      const date = day(d);
      let text = step >= D ? date : two(d.getUTCHours()) + ":" + two(d.getUTCMinutes());
      if (step < M) text += ":" + two(d.getUTCSeconds());
      if (step < S) text += (((k * step) % S + S) % S / S).toFixed(Math.max(1, decimalsOf(step / S))).slice(1);
      ticks.push({ t, text, date: step < D && date !== before ? date + " " + d.getUTCFullYear() : "" });
      before = date;
    }
    return ticks;
  }

  function monthTicks(from, to, count) {
    const months = (to - from) / (30.4 * D);
    const step = [1, 2, 3, 6, 12, 24, 60, 120].find((s) => months / s <= count) || 240;
    const d = new Date(DATA.origin_ms + from);
    const ticks = [];
    for (let m = Math.ceil((d.getUTCFullYear() * 12 + d.getUTCMonth()) / step) * step; ; m += step) {
      const t = Date.UTC(Math.floor(m / 12), m % 12, 1) - DATA.origin_ms;
      if (t > to) break;
      if (t >= from) ticks.push({ t, text: step >= 12 ? String(Math.floor(m / 12)) : MONTHS[m % 12] + " " + Math.floor(m / 12), date: "" });
    }
    return ticks;
  }

  function moment(t) {
    const d = new Date(DATA.origin_ms + Math.floor(t));
    const span = state.to - state.from;
    const date = d.getUTCFullYear() + "-" + two(d.getUTCMonth() + 1) + "-" + two(d.getUTCDate());
    let clock = two(d.getUTCHours()) + ":" + two(d.getUTCMinutes()) + ":" + two(d.getUTCSeconds());
    if (span < 2 * H) clock += "." + String(d.getUTCMilliseconds()).padStart(3, "0");
    return date + " " + clock;
  }

  function duration(ns) {
    if (ns === 0) return "0";
    const size = Math.abs(ns);
    for (const [unit, per] of [["h", 3.6e12], ["min", 6e10], ["s", 1e9], ["ms", 1e6], ["µs", 1e3]])
      if (size >= per * 0.9995) return Number((ns / per).toPrecision(3)) + " " + unit;
    return Number(ns.toPrecision(3)) + " ns";
  }

  // ---- series ----
  // Index of the last point at or before t; -1 before the first.
  function before(times, t) {
    let low = 0, high = times.length;
    while (low < high) { const m = (low + high) >> 1; if (times[m] <= t) low = m + 1; else high = m; }
    return low - 1;
  }

  function range(series, from, to, extra) {
    let low = Infinity, high = -Infinity;
    for (let i = Math.max(0, before(series.t, from)); i < series.t.length && series.t[i] <= to; i++) {
      if (series.v[i] < low) low = series.v[i];
      if (series.v[i] > high) high = series.v[i];
    }
    for (const v of extra) { if (v < low) low = v; if (v > high) high = v; }
    if (low > high) return [0, 1];
    if (low === high) { const pad = Math.abs(low) * 1e-4 || 1; return [low - pad, high + pad]; }
    const pad = (high - low) * 0.06;
    return [low - pad, high + pad];
  }

  function path(series, x, y, steps) {
    const i0 = Math.max(0, before(series.t, state.from));
    let d = "", n = 0;
    for (let i = i0; i < series.t.length; i++) {
      const px = x(series.t[i]).toFixed(1), py = y(series.v[i]).toFixed(1);
      d += n++ === 0 ? "M" + px + " " + py : steps ? "H" + px + "V" + py : "L" + px + " " + py;
      if (series.t[i] > state.to) break;
    }
    if (steps && n) d += "H" + x(Math.max(state.to, series.t[series.t.length - 1])).toFixed(1);
    return d;
  }

  // ---- the time charts ----
  const CHARTS = [
    { id: "equity", title: "Equity", height: 230, name: "equity", area: true, series: () => DATA.equity, unit: () => DATA.equity.unit, base: () => DATA.equity.base, label: () => DATA.equity.label, empty: "No equity samples were recorded." },
    { id: "drawdown", title: "Drawdown", height: 118, name: "drawdown", area: true, zero: true, series: () => DATA.drawdown, unit: () => "% of the highest equity", short: "%", base: () => 0, label: () => DATA.drawdown.label, empty: "No equity samples were recorded." },
    { id: "price", title: "Mid price and fills", height: 300, name: "mid", fills: true, series: () => current().mid, unit: () => current().price_unit, label: () => current().price_label, empty: "No price was sampled." },
    { id: "position", title: "Inventory", height: 138, name: "position", area: true, zero: true, steps: true, series: () => current().position, unit: () => current().size_unit, base: () => 0, label: () => current().position_label, empty: "No positions were sampled." },
  ];
  const current = () => DATA.instruments[state.which] || { mid: { t: [], v: [] }, position: { t: [], v: [] }, fills: [], n_fills: 0, price_unit: "", size_unit: "", decimals: 2, price_label: "", position_label: "", name: "" };
  const RIGHT = 10, TOP = 8;

  const SHAPE = { 1: "M0 -4.4L4.3 3.2H-4.3Z", [-1]: "M0 4.4L4.3 -3.2H-4.3Z" };
  const legendItem = (side, kind, text) =>
    '<span><svg viewBox="-5 -5 10 10" aria-hidden="true"><path class="fill ' + side + " " + kind + '" d="' + SHAPE[side === "buy" ? 1 : -1] + '"/></svg>' + text + "</span>";

  function caption(chart) {
    let html = "<b>" + chart.title + "</b><i>" + esc([chart.fills || chart.id === "position" ? current().name : "", chart.unit()].filter(Boolean).join(", ")) + "</i>";
    if (chart.fills) {
      const n = current().n_fills, drawn = current().fills.length;
      if (n) html += '<span class="legend">' + legendItem("buy", "maker", "buy, maker") + legendItem("buy", "taker", "buy, taker") + legendItem("sell", "maker", "sell, maker") + legendItem("sell", "taker", "sell, taker") + "</span>";
      html += "<i>" + (n === 0 ? "no fills" : drawn < n ? drawn.toLocaleString("en-US") + " of " + n.toLocaleString("en-US") + " fills drawn" : "") + "</i>";
    }
    return html + '<span class="read"></span>';
  }

  function prepare(chart, width) {
    const series = chart.series();
    if (!series.t.length) return null;
    const extra = [];
    if (chart.zero) extra.push(0);
    if (chart.fills) for (const f of current().fills) if (f[0] >= state.from && f[0] <= state.to) extra.push(f[1]);
    let [low, high] = range(series, state.from, state.to, extra);
    if (chart.id === "drawdown") high = 0;
    const scale = valueTicks(low, high, Math.max(2, Math.round(chart.height / 42)));
    const texts = scale.ticks.map((v) => number(v, scale.decimals));
    return { series, low, high, scale, texts, left: Math.max(...texts.map((t) => t.length), 1) * 6.6 + 14 };
  }

  function drawTime() {
    const width = byId("time").querySelector(".chart").clientWidth || 900;
    const plans = CHARTS.map((chart) => prepare(chart, width));
    // One left edge for all charts, so that a moment is one vertical line through them.
    const left = Math.max(46, ...plans.filter(Boolean).map((p) => p.left));
    CHARTS.forEach((chart, i) => drawOne(chart, plans[i], left, width));
    byId("time").classList.toggle("idle", !plans.some(Boolean));
    byId("window").textContent = moment(state.from) + " to " + moment(state.to) + " UTC";
    byId("reset").disabled = state.from === whole[0] && state.to === whole[1];
    cross(state.at);
  }

  function drawOne(chart, plan, left, width) {
    const figure = byId(chart.id);
    const focused = figure.contains(document.activeElement);
    if (!plan) { figure.innerHTML = "<figcaption>" + caption(chart) + '</figcaption><p class="empty">' + chart.empty + "</p>"; chart.plan = null; return; }
    const height = chart.height, bottom = height - 24;
    const x = (t) => left + ((t - state.from) / (state.to - state.from)) * (width - left - RIGHT);
    const y = (v) => bottom - ((v - plan.low) / (plan.high - plan.low)) * (bottom - TOP);
    let svg = "";
    plan.scale.ticks.forEach((v, i) => {
      const py = Math.round(y(v)) + 0.5;
      svg += '<line class="grid" x1="' + left + '" x2="' + (width - RIGHT) + '" y1="' + py + '" y2="' + py + '"/><text x="' + (left - 8) + '" y="' + (py + 4) + '" text-anchor="end">' + plan.texts[i] + "</text>";
    });
    let edge = -Infinity;
    for (const tick of timeTicks(state.from, state.to, Math.max(2, Math.floor((width - left) / 96)))) {
      const px = Math.round(x(tick.t)) + 0.5, text = tick.date ? tick.date + (tick.text === "00:00" ? "" : ", " + tick.text) : tick.text;
      const half = text.length * 3.3, middle = Math.min(Math.max(px, left - 30 + half), width - half - 2);
      svg += '<line class="axis" x1="' + px + '" x2="' + px + '" y1="' + bottom + '" y2="' + (bottom + 5) + '"/>';
      if (middle - half < edge + 8) continue;
      edge = middle + half;
      svg += '<text x="' + middle.toFixed(1) + '" y="' + (bottom + 18) + '" text-anchor="middle">' + text + "</text>";
    }
    svg += '<line class="axis" x1="' + left + '" x2="' + (width - RIGHT) + '" y1="' + (bottom + 0.5) + '" y2="' + (bottom + 0.5) + '"/>';
    const d = path(plan.series, x, y, chart.steps);
    let marks = "";
    // An area hangs on its base line; where that line is out of sight the area would mean nothing.
    if (chart.area && chart.base() >= plan.low && chart.base() <= plan.high) {
      const base = y(chart.base()).toFixed(1);
      const first = x(plan.series.t[Math.max(0, before(plan.series.t, state.from))]).toFixed(1);
      const after = Math.min(plan.series.t.length - 1, before(plan.series.t, state.to) + 1);
      const last = chart.steps ? x(Math.max(state.to, plan.series.t[plan.series.t.length - 1])) : x(plan.series.t[after]);
      marks += '<path class="' + chart.name + '-area" d="' + d + "L" + last.toFixed(1) + " " + base + "L" + first + " " + base + 'Z"/>';
      if (chart.base() > plan.low && chart.base() < plan.high) marks += '<line class="base" x1="' + left + '" x2="' + (width - RIGHT) + '" y1="' + base + '" y2="' + base + '"/>';
    }
    marks += '<path class="line ' + chart.name + '" d="' + d + '"/>';
    const seen = chart.fills ? current().fills.filter((f) => f[0] >= state.from && f[0] <= state.to) : [];
    const size = seen.length > 1500 ? 0.5 : seen.length > 400 ? 0.7 : 1;
    for (const f of seen)
      marks += '<path class="fill ' + (f[3] > 0 ? "buy " : "sell ") + (f[4] ? "maker" : "taker") + '" transform="translate(' + x(f[0]).toFixed(1) + " " + y(f[1]).toFixed(1) + ")" + (size < 1 ? " scale(" + size + ")" : "") + '" d="' + SHAPE[f[3]] + '"/>';
    const clip = "clip-" + chart.id;
    figure.innerHTML = "<figcaption>" + caption(chart) + '</figcaption><svg viewBox="0 0 ' + width + " " + height + '" width="' + width + '" height="' + height + '" tabindex="0" role="img" aria-label="' + esc(chart.label()) + '"><title>' + esc(chart.title) + '</title><clipPath id="' + clip + '"><rect x="' + left + '" y="0" width="' + (width - left - RIGHT + 1) + '" height="' + (bottom + 1) + '"/></clipPath>' + svg + '<g clip-path="url(#' + clip + ')">' + marks + '</g><g class="over"></g></svg>';
    // The title element names the chart to assistive technology; as a hover bubble it would cover the data.
    figure.querySelector("svg > title").remove();
    chart.plan = Object.assign(plan, { left, width, bottom, x, y, over: figure.querySelector(".over"), read: figure.querySelector(".read") });
    if (focused) figure.querySelector("svg[tabindex]").focus();
  }

  // ---- crosshair ----
  const precise = (chart, v) => chart.id === "price" ? number(v, current().decimals + (Math.abs(v * 10 ** current().decimals % 1) > 1e-6 ? 1 : 0))
    : chart.id === "position" ? String(+v.toPrecision(10)).replace("-", "−") : number(v, chart.plan.scale.decimals + 1);

  function nearestFill(t, plan) {
    const fills = current().fills;
    let low = 0, high = fills.length;
    while (low < high) { const m = (low + high) >> 1; if (fills[m][0] < t) low = m + 1; else high = m; }
    const best = [fills[low - 1], fills[low]].filter(Boolean).sort((a, b) => Math.abs(a[0] - t) - Math.abs(b[0] - t))[0];
    return best && Math.abs(plan.x(best[0]) - plan.x(t)) < 7 ? best : null;
  }

  function cross(t) {
    state.at = t;
    for (const chart of CHARTS) {
      const plan = chart.plan;
      if (!plan) continue;
      if (t === null || t < state.from || t > state.to) { plan.over.innerHTML = ""; plan.read.textContent = ""; continue; }
      const px = plan.x(t).toFixed(1), i = before(plan.series.t, t);
      let svg = '<line class="cross" x1="' + px + '" x2="' + px + '" y1="' + TOP + '" y2="' + plan.bottom + '"/>', text = "";
      if (i >= 0) {
        const v = plan.series.v[i], next = plan.series.t[i + 1];
        const between = chart.steps || next === undefined ? v : v + ((plan.series.v[i + 1] - v) * (t - plan.series.t[i])) / (next - plan.series.t[i] || 1);
        svg += '<circle class="dot ' + chart.name + '" r="4" cx="' + px + '" cy="' + plan.y(between).toFixed(1) + '"/>';
        text = "<em>" + precise(chart, v) + "</em> " + esc(chart.short || chart.unit());
      }
      const fill = chart.fills && nearestFill(t, plan);
      if (fill) {
        svg += '<circle class="dot ring" r="8" cx="' + plan.x(fill[0]).toFixed(1) + '" cy="' + plan.y(fill[1]).toFixed(1) + '"/>';
        const side = fill[3] > 0 ? "buy" : "sell";
        text = '<span class="t-' + side + '">' + side + "</span> <em>" + +fill[2].toPrecision(10) + "</em> at <em>" + number(fill[1], current().decimals) + "</em>, " + (fill[4] ? "maker" : "taker") + (fill[5] >= 0 ? ", " + esc(DATA.reasons[fill[5]].replaceAll("_", " ")) : "") + " · mid " + text;
      }
      plan.over.innerHTML = svg;
      plan.read.innerHTML = text + (chart === CHARTS[0] ? " · " + moment(t).slice(11) + " UTC" : "");
    }
  }

  function zoom(from, to) {
    const size = Math.min(Math.max(to - from, minimum), whole[1] - whole[0]);
    state.from = Math.min(Math.max(from, whole[0]), whole[1] - size);
    state.to = state.from + size;
    drawTime();
  }
  function zoomBy(factor, around) {
    const at = around === null || around < state.from || around > state.to ? (state.from + state.to) / 2 : around;
    zoom(at - (at - state.from) * factor, at + (state.to - at) * factor);
  }

  function listen(chart) {
    const figure = byId(chart.id);
    let begin = null;
    const timeOf = (event) => {
      const plan = chart.plan, box = figure.querySelector("svg[tabindex]").getBoundingClientRect();
      const px = ((event.clientX - box.left) / box.width) * plan.width;
      return Math.min(state.to, Math.max(state.from, state.from + ((px - plan.left) / (plan.width - plan.left - RIGHT)) * (state.to - state.from)));
    };
    const onChart = (event) => chart.plan && event.target.closest("svg[tabindex]");
    figure.addEventListener("pointerdown", (event) => { if (onChart(event) && event.button === 0) { begin = timeOf(event); } });
    figure.addEventListener("pointermove", (event) => {
      if (!onChart(event)) { if (begin === null) cross(null); return; }
      const t = timeOf(event);
      cross(t);
      if (begin !== null) {
        const a = chart.plan.x(Math.min(begin, t)), b = chart.plan.x(Math.max(begin, t));
        chart.plan.over.innerHTML += '<rect class="pick-range" x="' + a.toFixed(1) + '" y="' + TOP + '" width="' + (b - a).toFixed(1) + '" height="' + (chart.plan.bottom - TOP) + '"/>';
      }
    });
    figure.addEventListener("pointerup", (event) => {
      if (begin === null || !chart.plan) return;
      const end = timeOf(event), from = Math.min(begin, end), to = Math.max(begin, end);
      begin = null;
      if (chart.plan.x(to) - chart.plan.x(from) > 6) zoom(from, to);
    });
    figure.addEventListener("pointercancel", () => { begin = null; cross(null); });
    figure.addEventListener("pointerleave", () => { begin = null; cross(null); });
    figure.addEventListener("dblclick", (event) => { if (onChart(event)) zoom(whole[0], whole[1]); });
    figure.addEventListener("wheel", (event) => {
      if (!(event.ctrlKey || event.metaKey) || !onChart(event)) return;
      event.preventDefault();
      zoomBy(event.deltaY > 0 ? 1.25 : 0.8, timeOf(event));
    }, { passive: false });
    figure.addEventListener("keydown", (event) => {
      const step = (state.to - state.from) / 100, at = state.at === null ? (state.from + state.to) / 2 : state.at;
      const moves = { ArrowLeft: () => cross(Math.max(state.from, at - step)), ArrowRight: () => cross(Math.min(state.to, at + step)), "+": () => zoomBy(0.5, at), "=": () => zoomBy(0.5, at), "-": () => zoomBy(2, at), "0": () => zoom(whole[0], whole[1]), Escape: () => cross(null) };
      if (moves[event.key] && !event.ctrlKey && !event.metaKey) { event.preventDefault(); moves[event.key](); }
    });
  }

  // ---- histograms ----
  function drawHistogram(id, title, data, empty) {
    const figure = byId(id), width = figure.clientWidth || 500, height = 220;
    const head = "<figcaption><b>" + title + "</b><i>" + (data.log ? "log scale, " : "") + 'number of orders</i><span class="read"></span></figcaption>';
    if (!data.counts.length) { figure.innerHTML = head.replace(/<i>.*<\/i>/, "") + '<p class="empty">' + empty + "</p>"; return; }
    const top = Math.max(...data.counts), scale = valueTicks(0, top * 1.04, 4), edges = data.edges;
    const ticks = scale.ticks.filter((v) => Number.isInteger(v)), left = Math.max(...ticks.map((v) => number(v, 0).length)) * 6.6 + 16, bottom = height - 26, head0 = 26;
    const f = data.log ? Math.log : (v) => v, low = f(edges[0]), high = f(edges[edges.length - 1]);
    const x = (v) => left + ((f(v) - low) / (high - low)) * (width - left - RIGHT - 6), y = (n) => bottom - (n / (top * 1.04)) * (bottom - head0);
    let svg = "";
    for (const v of ticks) svg += '<line class="grid" x1="' + left + '" x2="' + (width - RIGHT) + '" y1="' + (Math.round(y(v)) + 0.5) + '" y2="' + (Math.round(y(v)) + 0.5) + '"/><text x="' + (left - 8) + '" y="' + (y(v) + 4) + '" text-anchor="end">' + number(v, 0) + "</text>";
    data.counts.forEach((n, i) => {
      if (!n) return;
      const a = x(edges[i]), b = x(edges[i + 1]), gap = b - a > 4 ? 1 : 0;
      svg += '<rect class="hist" data-i="' + i + '" x="' + (a + gap / 2).toFixed(1) + '" y="' + y(n).toFixed(1) + '" width="' + Math.max(1, b - a - gap).toFixed(1) + '" height="' + Math.max(1, bottom - y(n)).toFixed(1) + '" rx="1"/>';
    });
    let edge = -Infinity;
    for (const v of histogramTicks(data, edges[0], edges[edges.length - 1], width)) {
      const px = x(v), text = duration(v), half = text.length * 3.3;
      if (px - half < edge + 10 || px + half > width) continue;
      edge = px + half;
      svg += '<line class="axis" x1="' + px + '" x2="' + px + '" y1="' + bottom + '" y2="' + (bottom + 5) + '"/><text x="' + px + '" y="' + (bottom + 19) + '" text-anchor="middle">' + text + "</text>";
    }
    svg += '<line class="axis" x1="' + left + '" x2="' + (width - RIGHT) + '" y1="' + (bottom + 0.5) + '" y2="' + (bottom + 0.5) + '"/>';
    let free = -Infinity;
    for (const [name, v, text] of edges.length > 2 ? data.marks : data.marks.slice(0, 1)) {
      const px = x(v), words = name + " " + text, long = words.length * 6.2;
      const from = Math.max(px + long + 6 > width ? px - long - 5 : px + 5, left), level = from < free + 8 ? 22 : 9;
      svg += '<line class="mark-line" x1="' + px + '" x2="' + px + '" y1="' + (level === 9 ? 2 : 15) + '" y2="' + bottom + '"/><text class="mark-text" x="' + from.toFixed(1) + '" y="' + level + '">' + esc(words) + "</text>";
      free = from + long;
    }
    figure.innerHTML = head + '<svg class="still" viewBox="0 0 ' + width + " " + height + '" width="' + width + '" height="' + height + '" role="img" aria-label="' + esc(data.label) + '">' + svg + "</svg>";
    const read = figure.querySelector(".read");
    figure.onpointermove = (event) => {
      const i = event.target.dataset && event.target.dataset.i;
      read.innerHTML = i === undefined ? "" : "<em>" + number(data.counts[i], 0) + "</em> orders, " + duration(edges[i]) + " to " + duration(edges[+i + 1]);
    };
    figure.onpointerleave = () => { read.textContent = ""; };
  }

  function histogramTicks(data, low, high, width) {
    if (data.counts.length === 1) return [(low + high) / 2];
    if (!data.log) {
      const unit = [3.6e12, 6e10, 1e9, 1e6, 1e3, 1].find((u) => Math.max(Math.abs(low), Math.abs(high)) >= u) || 1;
      return valueTicks(low / unit, high / unit, Math.max(2, Math.floor(width / 90))).ticks.map((v) => v * unit);
    }
    const ticks = [], many = Math.log10(high / low) > 3;
    for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++)
      for (const m of many ? [1] : [1, 3]) { const v = m * 10 ** e; if (v >= low && v <= high) ticks.push(v); }
    return ticks;
  }

  function drawAll() {
    drawTime();
    drawHistogram("latency", "Entry latency", DATA.latency, "No order was answered, so there is no latency to show.");
    drawHistogram("queue", "Queue wait until the first maker fill", DATA.queue, "No resting order filled, so there is no queue wait to show.");
  }

  function begin() {
    const select = byId("instrument");
    DATA.instruments.forEach((item, i) => select.add(new Option(item.name + (item.n_fills ? "" : " (no fills)"), i)));
    select.closest("label").hidden = DATA.instruments.length < 2;
    select.addEventListener("change", () => { state.which = +select.value; drawTime(); });
    byId("zoom-in").addEventListener("click", () => zoomBy(0.5, null));
    byId("zoom-out").addEventListener("click", () => zoomBy(2, null));
    byId("reset").addEventListener("click", () => zoom(whole[0], whole[1]));
    CHARTS.forEach(listen);
    let width = document.documentElement.clientWidth;
    window.addEventListener("resize", () => { if (document.documentElement.clientWidth !== width) { width = document.documentElement.clientWidth; drawAll(); } });
    window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => { d.open = true; }));
    drawAll();
    document.documentElement.dataset.ready = "true";
  }

  function fail(error) {
    const note = document.createElement("p");
    note.className = "error";
    note.textContent = "The charts could not be drawn: " + error.message;
    byId("time").append(note);
  }
  try { begin(); } catch (error) { fail(error); console.error(error); }
})();
