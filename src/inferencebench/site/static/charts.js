// Charts by Observable Plot, drawn again when their width changes; each has its data as a table behind it.
"use strict";
IB.charts = (() => {
  const { el } = IB;
  const COLOURS = { agent: "var(--agent)", script: "var(--script)", search: "var(--search)", default: "var(--default)",
    baseline: "var(--baseline)", "red team": "var(--fail)" };
  const SERIES = ["var(--s1)", "var(--s2)", "var(--s3)", "var(--s4)", "var(--s5)", "var(--s6)"];
  const OUTCOMES = ["passed", "review_pending", "quality_failed", "quality_incomplete", "integrity_flagged", "server_failed", "infrastructure_error"];
  const colour = (kind) => COLOURS[kind] || COLOURS.agent;
  const short = (text, n) => text.length > n ? `${text.slice(0, Math.ceil(n * 0.55))}…${text.slice(-Math.floor(n * 0.45) + 1)}` : text;
  const observer = new ResizeObserver((entries) => {
    for (const entry of entries) {
      const figure = entry.target;
      const width = Math.floor(entry.contentRect.width);
      if (width && width !== figure.drawnWidth) figure.redraw();
    }
  });

  // Draw `make(width)` into the figure; `table` gives {columns, rows} of the same data, `marks` the legend.
  const show = (figure, label, make, table, marks = []) => {
    const draw = () => {
      const width = Math.floor(figure.clientWidth) || 320;
      figure.drawnWidth = width;
      const open = figure.querySelector("details")?.open;
      const chart = make(width);
      chart.setAttribute("role", "img");
      chart.setAttribute("aria-label", label);
      const behind = el("details.data", {}, el("summary", {}, "Data of this chart"),
        el("div.scroll", { tabindex: 0 }, IB.fill(el("table.plain"), table.columns, table.rows)));
      behind.open = Boolean(open);
      figure.replaceChildren(...(marks.length ? [legend(marks)] : []), chart, behind);
    };
    figure.redraw = draw;
    draw();
    observer.observe(figure);
  };
  const none = (figure, text) => {
    observer.unobserve(figure);
    figure.replaceChildren(el("p.note", {}, text));
  };
  const text = (title) => ({ title, format: { x: false, y: false, fill: false }, fontSize: 12 });

  // Bars with error bars. rows: {label, key, kind, value, sem, hover}; log axis where values spread over a factor of 30.
  const bars = (figure, rows, { label, unit = "speedup over the PyTorch baseline (×)", faded = () => false }) => {
    if (!rows.length) { none(figure, "No row to show."); return; }
    const most = Math.max(...rows.map((r) => r.value + (r.sem || 0)));
    const least = Math.min(...rows.map((r) => r.value));
    const log = most / Math.max(least, 1e-6) > 30;
    const start = log ? Math.min(0.5, least * 0.8) : 0;
    show(figure, label, (width) => {
      const narrow = width < 560;
      const left = narrow ? 8 : Math.min(260, 24 + 7 * Math.max(...rows.map((r) => Math.min(34, r.label.length))));
      const step = narrow ? 42 : 28;
      const inset = narrow ? 19 : 4;
      return Plot.plot({
        width, height: rows.length * step + 56, marginLeft: left, marginRight: 68, marginTop: 8, marginBottom: 44,
        style: { fontSize: "13px", background: "transparent" },
        x: { label: unit, type: log ? "log" : "linear", domain: [start, most * 1.04], grid: true, ticks: narrow ? 4 : 7, tickFormat: (d) => `${d}` },
        y: { domain: rows.map((r) => r.key), label: null, axis: null, padding: 0 },
        marks: [
          Plot.barX(rows, { y: "key", x1: start, x2: "value", fill: (r) => colour(r.kind), fillOpacity: (r) => faded(r) ? 0.45 : 0.88, insetTop: inset, insetBottom: narrow ? 6 : 4, rx2: 2 }),
          Plot.ruleX([1], { stroke: "var(--ink)", strokeDasharray: "3,3", strokeOpacity: 0.6 }),
          Plot.link(rows.filter((r) => r.sem), { y1: "key", y2: "key", x1: (r) => Math.max(start, r.value - r.sem), x2: (r) => r.value + r.sem, stroke: "var(--ink)", strokeWidth: 1.5, dy: narrow ? 6 : 0 }),
          Plot.tickX(rows.filter((r) => r.sem).flatMap((r) => [Math.max(start, r.value - r.sem), r.value + r.sem].map((x) => ({ x, key: r.key }))), { x: "x", y: "key", stroke: "var(--ink)", strokeWidth: 1.5, insetTop: narrow ? 24 : 9, insetBottom: narrow ? 11 : 9 }),
          Plot.text(rows, { y: "key", x: (r) => r.value + (r.sem || 0), text: (r) => IB.times(r.value), textAnchor: "start", dx: 6, dy: narrow ? 6 : 0, fill: "var(--ink)" }),
          narrow
            ? Plot.text(rows, { y: "key", x: start, text: (r) => short(r.label, Math.floor(width / 8)), textAnchor: "start", dy: -12, fill: "var(--ink)" })
            : Plot.text(rows, { y: "key", x: start, text: (r) => short(r.label, 34), textAnchor: "end", dx: -8, fill: "var(--ink)" }),
          Plot.tip(rows, Plot.pointerY({ y: "key", x: "value", ...text("hover") })),
        ],
      });
    }, {
      columns: [{ title: "row", cell: (r) => r.label }, { title: "kind", cell: (r) => IB.kindName(r.kind) },
        { title: "mean (×)", n: true, cell: (r) => IB.fixed(r.value) }, { title: "± SEM", n: true, cell: (r) => IB.fixed(r.sem) }],
      rows,
    });
  };

  // Lines of distribution functions; fewer than three values are no line but dots. parts: {series, n, ms, share}.
  const distribution = (figure, name, parts) => {
    const series = [...new Set(parts.map((p) => p.series))];
    const points = parts.flatMap((p) => p.ms.map((ms, i) => ({ series: p.series, ms: Math.max(ms, 0.01), share: p.share[i], alone: p.ms.length < 3 })));
    const sorted = points.map((p) => p.ms).sort((a, b) => a - b);
    const [least, most] = [sorted[0], sorted.at(-1)];
    const log = most > 20 * sorted[sorted.length >> 1];
    // Room beside lone dots, and around values that are all the same: an axis needs an extent to have ticks.
    const pad = !log && (least === most || points.every((p) => p.alone)) ? Math.max((most - least) / 2, most / 20) : 0;
    show(figure, `${name}: share of values at or below, by load`, (width) => Plot.plot({
      width, height: 240, marginLeft: 48, marginRight: 16, marginBottom: 40, style: { fontSize: "12px", background: "transparent" },
      x: { label: `${name} (ms)`, type: log ? "log" : "linear", domain: [Math.max(least - pad, 0), most + pad], grid: true, ticks: pad || width < 420 ? 4 : 6, nice: true, tickFormat: log ? "~s" : undefined },
      y: { label: "share at or below (%)", percent: true, domain: [0, 100], grid: true, ticks: 5 },
      color: { domain: series, range: SERIES, legend: false },
      marks: [
        Plot.line(points, { x: "ms", y: "share", stroke: "series", strokeWidth: 2, curve: "step-after" }),
        Plot.dot(points.filter((p) => p.alone), { x: "ms", y: "share", fill: "series", r: 4.5 }),
        Plot.tip(points, Plot.pointer({ x: "ms", y: "share", ...text((p) => `${p.series}\n${IB.seconds(p.ms / 1000)}\n${(100 * p.share).toFixed(1)} % at or below`) })),
      ],
    }), {
      columns: [{ title: "load", cell: (r) => r.series }, ...[0.5, 0.9, 0.99].map((q) => ({ title: `p${100 * q}`, n: true, cell: (r) => IB.seconds(at(r, q) / 1000) })),
        { title: "n", n: true, cell: (r) => String(r.n) }],
      rows: parts,
    }, series.length > 1 ? series.map((s, i) => [s, SERIES[i % SERIES.length]]) : []);
  };
  const at = (part, share) => part.ms[Math.max(0, part.share.findIndex((s) => s >= share - 1e-9))] ?? part.ms.at(-1);
  // Colours by a class of the style sheet where they are variables: the policy forbids style attributes, not properties.
  const legend = (entries) => el("ul.legend", {}, entries.map(([name, fill]) => {
    const mark = el("span.swatch");
    mark.style.background = fill;
    return el("li", {}, mark, name);
  }));

  // Evaluations over the clock. groups: {series, metric, baseline, budget_s, session_s, evaluations}.
  const timeline = (figure, groups) => {
    const points = groups.flatMap((g) => g.evaluations.filter((e) => e.value !== null && e.ok).map((e) => ({
      ...e, series: g.series, at: (e.at_s + e.seconds) / 60, speedup: g.baseline ? IB.base(g.metric, g.baseline)(e.value) : e.value })));
    const failed = groups.flatMap((g) => g.evaluations.filter((e) => e.value === null || !e.ok).map((e) => ({ ...e, series: g.series, at: (e.at_s + e.seconds) / 60 })));
    if (!points.length && !failed.length) { none(figure, "No evaluation was asked for."); return; }
    const over = groups.every((g) => g.baseline);
    const best = groups.flatMap((g) => {
      let top = 0;
      const own = points.filter((p) => p.series === g.series && !p.quick && p.valid !== false && p.quality_passed !== false)
        .sort((a, b) => a.at - b.at).map((p) => ({ series: g.series, at: p.at, speedup: top = Math.max(top, p.speedup) }));
      return own.length && g.session_s ? [...own, { ...own.at(-1), at: g.session_s / 60 }] : own;
    });
    const end = Math.max(...groups.map((g) => g.budget_s || g.session_s || 0)) / 60;
    const series = groups.map((g) => g.series);
    const hover = (e) => [`evaluation ${e.id}${e.quick ? " (quick)" : ""}`, groups.length > 1 ? e.series : null,
      `at ${IB.seconds(e.at_s)}, took ${IB.seconds(e.seconds)}`,
      e.value === null ? null : `${IB.metric(e.metric)} ${IB.native(e.metric, e.value)}${over ? `, ${IB.times(e.speedup)}` : ""}`,
      e.accuracy === null ? null : `accuracy ${(100 * e.accuracy).toFixed(1)} %${e.quality_passed === false ? ", below the gate" : ""}`,
      e.error ? `failed: ${short(e.error, 70)}` : null].filter(Boolean).join("\n");
    show(figure, "Evaluations against the clock", (width) => Plot.plot({
      width, height: 280, marginLeft: 52, marginRight: 20, marginBottom: 42, style: { fontSize: "12px", background: "transparent" },
      x: { label: "minutes of the session (when the evaluation ended)", domain: [0, Math.max(end, ...points.map((p) => p.at), 0.01)], grid: true },
      y: { label: over ? "speedup over the baseline on dev requests (×)" : "metric, native unit", grid: true, zero: true, nice: true },
      color: { domain: series, range: SERIES },
      marks: [
        over ? Plot.ruleY([1], { stroke: "var(--ink)", strokeDasharray: "3,3", strokeOpacity: 0.6 }) : null,
        Plot.ruleX(groups.filter((g) => g.session_s), { x: (g) => g.session_s / 60, stroke: "var(--muted)", strokeDasharray: "2,3" }),
        Plot.line(best, { x: "at", y: "speedup", stroke: "series", curve: "step-after", strokeWidth: 2 }),
        Plot.dot(points, { x: "at", y: "speedup", r: 5, stroke: "series", fill: (p) => p.quality_passed === false || p.valid === false ? "var(--fail)" : p.quick ? "var(--paper)" : "var(--ink)", fillOpacity: 0.9, strokeWidth: 2 }),
        Plot.dot(failed, { x: "at", frameAnchor: "bottom", symbol: "times", stroke: "var(--fail)", r: 5, strokeWidth: 2, dy: -8 }),
        Plot.tip([...points, ...failed.map((f) => ({ ...f, speedup: 0 }))], Plot.pointer({ x: "at", y: "speedup", ...text(hover) })),
      ],
    }), {
      columns: [{ title: "evaluation", cell: (e) => `${groups.length > 1 ? `${e.series} ` : ""}${e.id}${e.quick ? " (quick)" : ""}` }, { title: "at", n: true, cell: (e) => IB.seconds(e.at_s) },
        { title: "took", n: true, cell: (e) => IB.seconds(e.seconds) }, { title: "value", n: true, cell: (e) => IB.native(e.metric, e.value) },
        { title: "speedup", n: true, cell: (e) => over ? IB.times(e.speedup) : "–" },
        { title: "accuracy", n: true, cell: (e) => e.accuracy === null ? "–" : `${(100 * e.accuracy).toFixed(1)} %` },
        { title: "submission", cell: (e) => e.submission_sha256.slice(0, 8) }, { title: "note", cell: (e) => e.error || "" }],
      rows: [...points, ...failed].sort((a, b) => a.at - b.at),
    });
  };

  return { show, none, bars, distribution, timeline, legend, colour, text, short, SERIES, OUTCOMES };
})();
