// Sections of the overview that look across rows: scenario breakdown, top agents, how they worked, traces.
"use strict";
IB.insights = (() => {
  const { el, charts } = IB;
  const AGENTS = ["agent", "script"];
  const TOP = 6;
  const font = { fontSize: "12px", background: "transparent" };
  const node = (id) => document.getElementById(id);
  const share = (n, of) => of ? `${(100 * n / of).toFixed(0)} %` : "–";

  // Speedups of every row by scenario: [{scenario, kind, label, value, sem}].
  const cells = (B, state) => (B.current(state)?.scenarios || []).flatMap((s) => B.rows({ ...state, focus: s.name })
    .filter((r) => r.value !== null).map((r) => ({ scenario: s.name, kind: r.kind, label: r.label, key: r.key, value: r.value, sem: r.sem, aggregate: r.aggregate })));

  // One line a scenario: each row a dot, the range and the median of agents, the best search, the best engine default.
  const breakdown = (B, state) => {
    const figure = node("breakdown-chart");
    const all = cells(B, state).filter((c) => c.kind !== "baseline" && c.kind !== "red team");
    if (!all.length) { charts.none(figure, "No row to show."); return; }
    const scenarios = [...new Set(all.map((c) => c.scenario))];
    const rows = scenarios.map((scenario) => {
      const of = (kinds) => all.filter((c) => c.scenario === scenario && kinds.includes(c.kind)).sort((a, b) => a.value - b.value);
      const agents = of(AGENTS);
      return { scenario, n: agents.length, low: agents[0]?.value ?? null, median: agents.length ? d3.median(agents, (a) => a.value) : null, best: agents.at(-1) ?? null,
        search: of(["search"]).at(-1) ?? null, fallback: of(["default"]).at(-1) ?? null };
    });
    const ranged = rows.filter((r) => r.n);
    const marks = rows.flatMap((r) => [["search", r.search], ["default", r.fallback]].filter(([, c]) => c).map(([kind, c]) => ({ ...c, kind, scenario: r.scenario })));
    const least = Math.min(1, ...all.map((c) => c.value)) * 0.9;
    charts.show(figure, "Speedups by scenario: agents, best search, best engine default", (width) => Plot.plot({
      width, height: scenarios.length * 56 + 48, marginLeft: width < 560 ? 84 : 110, marginRight: 24, marginTop: 6, marginBottom: 42, style: font,
      x: { label: "speedup (×)", type: "log", domain: [least, 1.12 * Math.max(...all.map((c) => c.value))], grid: true, tickFormat: (d) => `${d}`, ticks: width < 560 ? 4 : 8 },
      y: { domain: scenarios, label: null, tickSize: 0, padding: 0 },
      marks: [
        Plot.ruleX([1], { stroke: "var(--ink)", strokeDasharray: "3,3", strokeOpacity: 0.6 }),
        Plot.link(ranged, { x1: "low", x2: (r) => r.best.value, y1: "scenario", y2: "scenario", stroke: "var(--agent)", strokeWidth: 10, strokeOpacity: 0.18, strokeLinecap: "round" }),
        Plot.dot(all.filter((c) => AGENTS.includes(c.kind)), { x: "value", y: "scenario", r: 4.5, fill: (c) => charts.colour(c.kind), fillOpacity: 0.7 }),
        Plot.tickX(ranged, { x: "median", y: "scenario", stroke: "var(--ink)", strokeWidth: 2.5, insetTop: 14, insetBottom: 14 }),
        Plot.dot(marks, { x: "value", y: "scenario", symbol: (c) => c.kind === "search" ? "diamond" : "square", r: 6, fill: (c) => charts.colour(c.kind), stroke: "var(--paper)", strokeWidth: 1.5 }),
        Plot.tip([...all.filter((c) => AGENTS.includes(c.kind)), ...marks], Plot.pointer({ x: "value", y: "scenario", ...charts.text((c) => `${c.label}\n${IB.kindName(c.kind)}, ${c.scenario}\n${IB.withSem(c.value, c.sem)}`) })),
      ],
    }), { columns: [{ title: "scenario", cell: (r) => r.scenario }, { title: "agents", n: true, cell: (r) => String(r.n) }, { title: "lowest", n: true, cell: (r) => IB.times(r.low) },
      { title: "median", n: true, cell: (r) => IB.times(r.median) }, { title: "best agent", cell: (r) => r.best ? `${r.best.label}, ${IB.times(r.best.value)}` : "–" },
      { title: "best search", cell: (r) => r.search ? `${r.search.label}, ${IB.times(r.search.value)}` : "–" },
      { title: "best engine default", cell: (r) => r.fallback ? `${r.fallback.label}, ${IB.times(r.fallback.value)}` : "–" }], rows },
    [["agents: range, and each", charts.colour("agent")], ["median of agents", "var(--ink)"], ["best search ◆", charts.colour("search")], ["best engine default ■", charts.colour("default")]]);
  };

  // The best agents over all scenarios at once, with the best search of each scenario as a dashed line.
  const top = (B, state) => {
    const figure = node("top-chart");
    const all = cells(B, state);
    const order = [...d3.rollup(all.filter((c) => AGENTS.includes(c.kind) && c.aggregate !== null), (v) => v[0].aggregate, (c) => c.key)].sort((a, b) => b[1] - a[1]).slice(0, TOP).map(([key]) => key);
    const scenarios = [...new Set(all.map((c) => c.scenario))];
    const lines = all.filter((c) => order.includes(c.key)).sort((a, b) => order.indexOf(a.key) - order.indexOf(b.key));
    const search = scenarios.map((s) => all.filter((c) => c.scenario === s && c.kind === "search").sort((a, b) => b.value - a.value)[0]).filter(Boolean);
    if (!lines.length || scenarios.length < 2) { charts.none(figure, "Needs an agent with two scenarios."); return; }
    const names = order.map((key) => lines.find((c) => c.key === key).label);
    charts.show(figure, "Top agents across scenarios", (width) => Plot.plot({
      width, height: 340, marginLeft: 46, marginRight: 20, marginTop: 28, marginBottom: 36, style: font,
      x: { domain: scenarios, label: null, padding: 0.3, tickSize: 0 },
      y: { label: "speedup (×)", type: "log", grid: true, tickFormat: (d) => `${d}`, ticks: 6, domain: [0.9 * Math.min(1, ...lines.map((c) => c.value)), 1.15 * Math.max(...[...lines, ...search].map((c) => c.value + (c.sem || 0)))] },
      color: { domain: order, range: charts.SERIES },
      marks: [
        Plot.ruleY([1], { stroke: "var(--ink)", strokeDasharray: "3,3", strokeOpacity: 0.6 }),
        Plot.line(search, { x: "scenario", y: "value", stroke: "var(--ink)", strokeDasharray: "5,4", strokeWidth: 1.5 }),
        Plot.dot(search, { x: "scenario", y: "value", symbol: "diamond", r: 5, fill: "var(--ink)" }),
        Plot.line(lines, { x: "scenario", y: "value", z: "key", stroke: "key", strokeWidth: 2, strokeOpacity: 0.8 }),
        Plot.ruleX(lines.filter((c) => c.sem && c.value > c.sem), { x: "scenario", y1: (c) => c.value - c.sem, y2: (c) => c.value + c.sem, stroke: "key", strokeWidth: 1.5 }),
        Plot.dot(lines, { x: "scenario", y: "value", fill: "key", r: 4.5 }),
        Plot.tip([...lines, ...search], Plot.pointer({ x: "scenario", y: "value", ...charts.text((c) => `${c.label}\n${c.scenario}: ${IB.withSem(c.value, c.sem)}`) })),
      ],
    }), { columns: [{ title: "row", cell: (c) => c.label }, { title: "scenario", cell: (c) => c.scenario }, { title: "mean ± SEM", n: true, cell: (c) => IB.withSem(c.value, c.sem) }], rows: [...lines, ...search] },
    [...names.map((name, i) => [name, charts.SERIES[i]]), ...(search.length ? [["best search of the scenario ◆", "var(--ink)"]] : [])]);
  };

  // Horizontal bars of shares: rows {label, n, of, fill}.
  const shares = (figure, label, rows, what) => charts.show(figure, label, (width) => Plot.plot({
    width, height: rows.length * 30 + 42, marginLeft: Math.min(150, 20 + 7 * Math.max(...rows.map((r) => r.label.length))), marginRight: 76, marginTop: 2, marginBottom: 38, style: font,
    x: { label: `share of ${what} (%)`, domain: [0, 100], grid: true, ticks: 5 }, y: { domain: rows.map((r) => r.label), label: null, tickSize: 0 },
    marks: [Plot.barX(rows, { y: "label", x: (r) => 100 * r.n / r.of, fill: "var(--s1)", insetTop: 5, insetBottom: 5, rx2: 2 }),
      Plot.text(rows, { y: "label", x: (r) => 100 * r.n / r.of, text: (r) => `${share(r.n, r.of)} (${r.n})`, textAnchor: "start", dx: 6, fill: "var(--ink)" })],
  }), { columns: [{ title: "", cell: (r) => r.label }, { title: "runs", n: true, cell: (r) => `${r.n} of ${r.of}` }, { title: "share", n: true, cell: (r) => share(r.n, r.of) }], rows });

  const TECHNIQUES = ["quantization", "chunked_prefill", "speculation", "prefix_caching"];
  // What only a transcript tells: techniques, configurations, facts.
  const told = (runs, techniques, configurations) => {
    if (!runs.length) { for (const slot of [techniques, configurations]) charts.none(slot, "No agent here left a transcript."); return; }
    const of = runs.length;
    const count = (holds) => runs.filter(holds).length;
    shares(techniques, "Techniques named by the agent", TECHNIQUES.map((t) => ({ label: IB.words(t), n: count((r) => r.conduct.mentions.includes(t)), of })), "runs with a transcript");
    const sizes = [["none", (n) => n === 0], ["1", (n) => n === 1], ["2", (n) => n === 2], ["3 or more", (n) => n > 2]];
    shares(configurations, "Non-default configurations per run", sizes.map(([label, holds]) => ({ label, n: count((r) => holds(r.conduct.distinct_configurations)), of })), "runs with a transcript");
    const restarts = d3.sum(runs, (r) => r.conduct.restarts);
    const facts = [["restarts, median", String(d3.median(runs, (r) => r.conduct.restarts))], ["identical relaunches", share(d3.sum(runs, (r) => r.conduct.identical_relaunches), restarts)],
      ["single-variable edits", share(d3.sum(runs, (r) => r.conduct.single_variable_edits), d3.sum(runs, (r) => r.conduct.single_variable_edits + r.conduct.multi_variable_edits))],
      ["first valid server, median", IB.seconds(d3.median(runs, (r) => r.conduct.first_valid_s ?? NaN) ?? null)],
      ["shipped the first that worked", share(count((r) => r.conduct.first_working_configuration === true), of)], ["late regressions", share(count((r) => r.conduct.late_regression), of)],
      ["process score, median", IB.fixed(d3.median(runs, (r) => r.conduct.process_score ?? NaN) ?? null, 0)]];
    node("conduct-facts").append(...facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
  };

  // Engines, techniques and configurations of agents' runs, and the process score against the speedup.
  const conduct = (B, state) => {
    const runs = B.shownRuns(state).filter((r) => r.on_board && AGENTS.includes(r.kind) && r.conduct);
    const slots = ["engine-chart", "technique-chart", "configuration-chart", "process-chart"].map(node);
    node("conduct-facts").replaceChildren();
    if (!runs.length) { for (const slot of slots) charts.none(slot, "No agent's run to show."); return; }
    const engines = d3.rollups(runs, (v) => v.length, (r) => r.conduct.engine || "none").sort((a, b) => b[1] - a[1]).slice(0, 10);
    shares(slots[0], "Final engine", engines.map(([label, n]) => ({ label, n, of: runs.length })), "agents' runs");
    told(runs.filter((r) => r.trajectory), slots[1], slots[2]);
    const scored = runs.filter((r) => r.conduct.process_score !== null).map((r) => ({ ...r, label: B.label(r) }));
    if (!scored.length) { charts.none(slots[3], "No run with a launch that was seen."); return; }
    charts.show(slots[3], "Process score against speedup, one dot a run", (width) => Plot.plot({
      width, height: 300, marginLeft: 46, marginRight: 20, marginBottom: 42, grid: true, style: font,
      x: { label: "process score (0 to 100)", domain: [0, 100], ticks: 5 }, y: { label: "speedup (×)", type: "log", tickFormat: (d) => `${d}`, ticks: 5 },
      marks: [Plot.ruleY([1], { stroke: "var(--ink)", strokeDasharray: "3,3", strokeOpacity: 0.6 }),
        Plot.dot(scored, { x: (r) => r.conduct.process_score, y: "speedup", r: 5, fill: (r) => charts.colour(r.kind), fillOpacity: 0.7, stroke: (r) => r.outcome === "passed" ? "none" : "var(--fail)", strokeWidth: 2 }),
        Plot.tip(scored, Plot.pointer({ x: (r) => r.conduct.process_score, y: "speedup", ...charts.text((r) => `${r.label}\n${r.scenario}, seeds ${r.seeds}\nprocess score ${r.conduct.process_score.toFixed(0)}, speedup ${IB.times(r.speedup)}\n${r.conduct.launches} launches, ${r.conduct.rollbacks} rollbacks`) }))],
    }), { columns: [{ title: "run", cell: (r) => IB.runLink(r, r.label) }, { title: "scenario", cell: (r) => r.scenario }, { title: "process score", n: true, cell: (r) => r.conduct.process_score.toFixed(0) },
      { title: "speedup", n: true, cell: (r) => IB.times(r.speedup) }, { title: "launches", n: true, cell: (r) => String(r.conduct.launches) }], rows: d3.sort(scored, (r) => -r.conduct.process_score).slice(0, 200) });
  };

  // The best run of each of the best agents, in a few moments.
  const traces = (B, state) => {
    const told = B.shownRuns(state).filter((r) => r.moments.length > 1).sort((a, b) => b.speedup - a.speedup);
    const best = [...new Map(told.map((r) => [`${r.agent}\n${r.condition}`, r]).reverse()).values()].sort((a, b) => b.speedup - a.speedup).slice(0, TOP);
    node("trace-cards").replaceChildren(...(best.length ? best.map((r) => el("article.card.trace", {}, el("h3", {}, IB.runLink(r, B.label(r)), el("small", {}, `${r.scenario}, ${IB.times(r.speedup)}`)),
      el("ol.moments", {}, r.moments.map((m) => el(`li.${m.kind}`, {}, el("span.when", {}, m.at_s === null ? "" : IB.clock(m.at_s)), el("span", {}, m.text)))))) : [el("p.note", {}, "No run here has a transcript.")]));
  };

  return { draw: (B, state) => { breakdown(B, state); top(B, state); conduct(B, state); traces(B, state); } };
})();
