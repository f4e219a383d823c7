// The overview: choices, leaderboard and charts.
"use strict";
(() => {
  const { el, charts, board: B } = IB;
  const node = (id) => document.getElementById(id);
  const data = IB.get("overview");
  let state = B.parse(location.hash.includes("=") ? location.hash : "#");
  let mostRuns = 60;
  let marked = [];

  // Choices -------------------------------------------------------------------------------------------------------
  const scenarioNames = () => (B.current(state)?.scenarios || []).map((s) => s.name);
  const drawChoices = () => {
    node("board").replaceChildren(...B.boards.map((b) => el("option", { value: b.id }, b.title)));
    node("board").value = state.board;
    const conditions = B.current(state)?.conditions || [];
    if (!conditions.includes(state.condition)) state.condition = "";
    node("condition").replaceChildren(el("option", { value: "" }, "all"), ...conditions.map((c) => el("option", { value: c }, IB.condition(c))));
    node("condition").value = state.condition;
    const names = ["aggregate", ...scenarioNames()];
    if (!names.includes(state.focus)) state.focus = "aggregate";
    node("focus").replaceChildren(...names.map((n) => el("label", {}, el("input", { type: "radio", name: "focus", value: n, checked: n === state.focus }), el("span", {}, n))));
    for (const name of ["kind", "q"]) node(name).value = state[name];
    for (const name of ["raw", "published"]) node(name).checked = state[name];
  };
  const read = () => {
    for (const name of ["board", "condition", "kind", "q"]) state[name] = node(name).value;
    for (const name of ["raw", "published"]) state[name] = node(name).checked;
    state.focus = document.querySelector("#focus input:checked")?.value || "aggregate";
  };

  // Leaderboard ---------------------------------------------------------------------------------------------------
  const hover = (r) => {
    const whole = state.focus === "aggregate" && r.aggregate_ci95 ? `95 % interval ${r.aggregate_ci95.map((v) => IB.fixed(v)).join("–")} (bootstrap over seed pairs)` : null;
    const lines = [r.label, r.agent, `${IB.withSem(r.value, r.sem)}${r.sem ? " (SEM)" : ""}`];
    if (whole) lines.push(whole);
    for (const [name, c] of r.cells || []) lines.push(`${name}: ${IB.withSem(c.speedup_mean, c.speedup_sem)}, ${c.n} runs, ${IB.metric(c.metric)} ${IB.native(c.metric, c.value_mean)}`);
    return lines.join("\n");
  };
  const beside = (c) => `raw mean ${IB.times(c.raw_speedup_mean)}, ${c.pass_rate === null ? "none scored" : `${(100 * c.pass_rate).toFixed(0)} % passed`}, mean of those ${IB.times(c.speedup_given_pass_mean)}; ${c.n} runs`;
  const cell = (c) => c === undefined ? "" : el("span", { title: beside(c) }, IB.withSem(c.speedup_mean, c.speedup_sem), el("small", {}, IB.native(c.metric, c.value_mean)));
  const outcomes = (r) => {
    const counts = new Map();
    for (const c of r.cells.values()) for (const [name, n] of Object.entries(c.outcomes)) counts.set(name, (counts.get(name) || 0) + n);
    return [...counts].sort((a, b) => charts.OUTCOMES.indexOf(a[0]) - charts.OUTCOMES.indexOf(b[0])).map(([name, n]) => el(`span.outcome.${name}`, { title: IB.words(name) }, `${n} ${IB.words(name)}`));
  };
  const kindLine = (r) => [IB.kindName(r.kind), IB.scaffold(r.agent)].filter(Boolean).join(" · ");
  const find = (r) => el("button.link", { type: "button", title: `${r.agent}: show this row's runs`, onclick: () => {
    node("q").value = r.agent; changed(); node("runs").scrollIntoView(); } }, r.label);
  // The interval of a rank is among all rows, so it is shown only where all are.
  const place = (r) => {
    if (r.place === null) return el("span", { title: "not ranked" }, "–");
    const whole = state.focus === "aggregate" && !state.kind && !state.condition && !state.raw;
    const [low, high] = whole && r.rank_ci95 ? r.rank_ci95 : [r.place, r.place];
    return low === high ? String(r.place) : [String(r.place), el("small", { title: "ranks when the seed pairs are drawn anew, 95 %" }, `${low}–${high}`)];
  };
  const drawBoard = () => {
    const rows = B.rows(state);
    const focus = (name) => name === state.focus;
    IB.fill(node("board-table"), [
      { title: "#", n: true, row: false, cell: place },
      { title: "row", cell: (r) => [find(r), el("span", { class: `kind ${r.kind.replace(" ", "-")}` }, kindLine(r))] },
      { title: "aggregate", n: true, sorted: focus("aggregate"), cell: (r) => IB.withSem(r.aggregate, r.aggregate_sem) },
      ...scenarioNames().map((name) => ({ title: name, n: true, sorted: focus(name), cell: (r) => cell(r.cells.get(name)) })),
      { title: "outcomes", cell: outcomes },
    ], rows.map((r) => ({ ...r, class: r.place === null ? "unranked" : "" })));
    const shown = rows.filter((r) => r.value !== null);
    const what = state.focus === "aggregate" ? "aggregate over scenarios" : state.focus;
    const top = B.current(state);
    node("board-notes").replaceChildren(...(top?.notes || []).map((note) => el("li", {}, note)));
    node("headline-note").textContent = top ? `${top.title}${top.model ? `: ${top.model}` : ""}${top.hardware ? ` on ${top.hardware}` : ""}. ${what}, mean ± standard error; the dashed line is the baseline.` : "No run is finished yet.";
    charts.bars(node("headline"), shown.slice(0, 40).map((r) => ({ ...r, hover: hover(r) })), { label: `Speedup by row, ${what}`, faded: (r) => r.place === null });
    node("said").textContent = `${rows.length} rows, ranked by ${what}`;
  };

  const publishedConduct = () => {
    const b = B.published.behaviour;
    const list = (rows, unit) => Object.entries(rows).map(([name, value]) => `${IB.words(name)} ${value}${unit}`).join(", ");
    const rows = [["final engine, runs", list(b.final_framework, "")], ["non-default configurations", list(b.distinct_nondefault_configs.percent, " %")],
      ["server restarts", `median ${b.server_restarts.median}, ${b.server_restarts.relaunch_identical_percent} % identical relaunches`], ["techniques named", list(b.technique_mentions_percent, " %")]];
    return el("details", {}, el("summary", {}, "Published: behaviour"), el("p.note", {}, "Paper, Table 15 and section 5.1"),
      el("div.scroll", { tabindex: 0 }, IB.fill(el("table.plain"), [{ title: "", cell: (r) => r[0] }, { title: "180 runs", cell: (r) => r[1] }], rows)));
  };

  // Published results ---------------------------------------------------------------------------------------------
  const drawReferences = () => {
    for (const slot of document.querySelectorAll("[data-reference]")) {
      slot.replaceChildren();
      if (!state.published) continue;
      const section = slot.dataset.reference;
      const note = `${B.published.paper}. Over the paper's own baseline on an H100: not comparable with the rows above.`;
      const parts = [];
      if (section === "headline") {
        const figure = el("figure");
        parts.push(el("h3", {}, "Published"), el("p.note", {}, note), figure);
        slot.append(el("div.published", {}, parts));
        charts.bars(figure, B.publishedRows(state).map((r) => ({ ...r, hover: `${r.label}${r.scaffold ? `\n${r.scaffold}` : ""}\n${IB.withSem(r.value, r.sem)} (SEM)` })), { label: "Published speedups" });
        continue;
      }
      if (section === "board") {
        parts.push(el("h3", {}, "Published leaderboard"), el("p.note", {}, note), el("div.scroll", { tabindex: 0 }, IB.fill(el("table", { id: "published-table" }), [
          { title: "#", n: true, row: false, cell: (r) => r.place === null ? "–" : String(r.place) },
          { title: "row", cell: (r) => [r.label, el("span", { class: `kind ${r.kind}` }, r.scaffold || IB.kindName(r.kind))] },
          ...["aggregate", "A", "B", "C", "D"].map((n) => ({ title: n, n: true, cell: (r) => IB.withSem(r.means[n], r.sems[n]) })),
        ], B.publishedRows(state))));
      } else if (section === "budget") {
        const rows = Object.entries(B.published.budgets).flatMap(([series, values]) => values.map((v, i) => ({ series, budget_s: B.published.budget_hours[i] * 3600, aggregate: v, aggregate_sem: null })));
        const figure = el("figure");
        slot.append(el("div.published", {}, el("h3", {}, "Published time budget"), figure));
        budgetChart(figure, rows);
        continue;
      }
      if (section === "conduct") parts.push(publishedConduct());
      for (const table of B.published.references.filter((t) => t.section === section)) {
        parts.push(el("details", {}, el("summary", {}, `Published: ${table.title}`), el("p.note", {}, table.source),
          el("div.scroll", { tabindex: 0 }, IB.fill(el("table.plain"), table.columns.map((title, i) => ({ title, cell: (r) => r.cells[i] })), table.rows.map((cells) => ({ cells }))))));
      }
      if (parts.length) slot.append(el("div.published", {}, parts));
    }
  };

  // Scenarios, outcomes, found, budget, conditions, cost -----------------------------------------------------------
  const drawScenarios = () => {
    const top = B.current(state);
    node("scenario-cards").replaceChildren();
    for (const s of top?.scenarios || []) {
      const rows = B.rows({ ...state, focus: s.name, q: "" }).filter((r) => r.value !== null);
      const of = (...kinds) => rows.filter((r) => kinds.includes(r.kind)).map((r) => r.value).sort((a, b) => a - b);
      const agents = of("agent", "script");
      const spread = agents.length ? `Agents: median ${IB.times(d3.median(agents))}, range ${IB.times(agents[0])} to ${IB.times(agents.at(-1))}. ` : "";
      const search = of("search").at(-1);
      const figure = el("figure");
      node("scenario-cards").append(el("div.card", {}, el("h3", {}, s.name, el("small", {}, IB.metric(s.metric))),
        el("p.note", {}, s.title ? `${s.title}. ${s.input_tokens} tokens in, ${s.output_tokens} out at most; ${s.load}; temperature ${s.temperature}.` : ""),
        el("p", {}, spread, search ? `Best search: ${IB.times(search)}.` : ""), figure));
      charts.bars(figure, rows.slice(0, 8).map((r) => ({ ...r, hover: hover(r) })), { label: `Top rows of ${s.name}`, unit: "speedup (×)", faded: (r) => r.place === null });
    }
  };
  const drawOutcomes = () => {
    const runs = B.shownRuns(state).filter((r) => r.on_board);
    if (!runs.length) { charts.none(node("outcome-chart"), "No run to show."); return; }
    const total = charts.OUTCOMES.map((o) => ({ outcome: o, n: runs.filter((r) => r.outcome === o).length })).filter((o) => o.n);
    const flat = d3.flatRollup(runs, (v) => v.length, B.label, (r) => r.outcome).map(([label, outcome, n]) => ({ label, outcome, n }));
    const labels = [...new Set(flat.map((f) => f.label))].sort((a, b) => (d3.sum(flat.filter((f) => f.label === b && f.outcome === "passed"), (f) => f.n)) - (d3.sum(flat.filter((f) => f.label === a && f.outcome === "passed"), (f) => f.n)));
    const fill = (o) => `var(--o-${o.replaceAll("_", "-")})`;
    const most = d3.max(d3.rollups(runs, (v) => v.length, B.label), ([, n]) => n);
    charts.show(node("outcome-chart"), "Outcomes by row", (width) => Plot.plot({
      width, height: labels.length * 26 + 50, marginLeft: Math.min(width * 0.42, 260), marginRight: 16, marginTop: 4, marginBottom: 40, style: { fontSize: "12px", background: "transparent" },
      x: { label: "runs", ticks: d3.ticks(0, most, 5).filter(Number.isInteger), tickFormat: "d", grid: true }, y: { domain: labels, label: null, tickSize: 0, tickFormat: (d) => charts.short(d, Math.floor(Math.min(width * 0.42, 260) / 7.5)) },
      color: { domain: charts.OUTCOMES, range: charts.OUTCOMES.map(fill) },
      marks: [Plot.barX(flat, Plot.stackX({ y: "label", x: "n", fill: "outcome", order: charts.OUTCOMES, insetTop: 3, insetBottom: 3 })),
        Plot.tip(flat, Plot.pointer(Plot.stackX({ y: "label", x: "n", z: "outcome", order: charts.OUTCOMES, ...charts.text((f) => `${f.label}\n${f.n} ${IB.words(f.outcome)}`) })))],
    }), { columns: [{ title: "outcome", cell: (o) => IB.words(o.outcome) }, { title: "runs", n: true, cell: (o) => String(o.n) },
      { title: "share", n: true, cell: (o) => `${(100 * o.n / runs.length).toFixed(1)} %` }], rows: total },
    total.map((o) => [`${IB.words(o.outcome)}: ${o.n} (${(100 * o.n / runs.length).toFixed(0)} %)`, fill(o.outcome)]));
  };
  const drawFound = () => {
    const rows = B.shownRuns(state).filter((r) => r.found_speedup !== null).map((r) => ({ ...r, label: B.label(r) }));
    if (!rows.length) { charts.none(node("found-chart"), "No run here made a full evaluation that was valid."); return; }
    const most = 1.08 * Math.max(...rows.flatMap((r) => [r.found_speedup, r.speedup]));
    const least = Math.min(1, ...rows.flatMap((r) => [r.found_speedup, r.speedup])) * 0.9;
    charts.show(node("found-chart"), "Best seen against submitted, one dot a run", (width) => Plot.plot({
      width, height: Math.min(420, Math.max(280, width * 0.6)), marginLeft: 52, marginBottom: 44, marginRight: 20, grid: true, style: { fontSize: "12px", background: "transparent" },
      x: { label: "submitted and scored (×)", type: "log", domain: [least, most], tickFormat: (d) => `${d}`, ticks: width < 500 ? 4 : 8 },
      y: { label: "best seen on dev requests (×)", type: "log", domain: [least, most], tickFormat: (d) => `${d}`, ticks: 5 },
      marks: [Plot.link([{}], { x1: least, y1: least, x2: most, y2: most, stroke: "var(--muted)", strokeDasharray: "3,3" }),
        Plot.dot(rows, { x: "speedup", y: "found_speedup", r: 5, fill: (r) => charts.colour(r.kind), fillOpacity: 0.75, stroke: (r) => r.outcome === "passed" ? "none" : "var(--fail)", strokeWidth: 2 }),
        Plot.tip(rows, Plot.pointer({ x: "speedup", y: "found_speedup", ...charts.text((r) => `${r.label}\n${r.scenario}, seeds ${r.seeds}\nbest seen ${IB.times(r.found_speedup)}, submitted ${IB.times(r.speedup)}\n${IB.words(r.outcome)}${r.found_is_final ? "" : "\nthe best seen was not submitted"}`) }))],
    }), { columns: [{ title: "run", cell: (r) => IB.runLink(r, r.label) }, { title: "scenario", cell: (r) => r.scenario }, { title: "best seen", n: true, cell: (r) => IB.times(r.found_speedup) },
      { title: "submitted", n: true, cell: (r) => IB.times(r.speedup) }, { title: "ratio", n: true, cell: (r) => IB.fixed(r.found_speedup / r.speedup) }],
    rows: [...rows].sort((a, b) => b.found_speedup / b.speedup - a.found_speedup / a.speedup) });
  };
  const budgetChart = (figure, points) => {
    const several = new Set([...d3.rollup(points, (v) => new Set(v.map((p) => p.budget_s)).size, (p) => p.series)].filter(([, n]) => n > 1).map(([s]) => s));
    const shown = points.filter((p) => several.has(p.series)).sort((a, b) => a.budget_s - b.budget_s);
    if (!shown.length) { charts.none(figure, "No row here was run under more than one budget."); return; }
    const series = [...several];
    const said = (s) => { const [, agent, rest] = /^(.*?)( \(.*\))?$/s.exec(s); return `${B.short(agent)}${rest || ""}`; };
    charts.show(figure, "Aggregate speedup by time budget", (width) => Plot.plot({
      width, height: 300, marginLeft: 48, marginRight: 24, marginBottom: 42, style: { fontSize: "12px", background: "transparent" },
      x: { label: "budget", type: "log", tickFormat: (s) => IB.seconds(s), ticks: [...new Set(shown.map((p) => p.budget_s))] },
      y: { label: "aggregate speedup (×)", grid: true, zero: true, nice: true }, color: { domain: series, range: charts.SERIES },
      marks: [Plot.ruleY([1], { stroke: "var(--ink)", strokeDasharray: "3,3", strokeOpacity: 0.6 }),
        Plot.ruleX(shown.filter((p) => p.aggregate_sem), { x: "budget_s", y1: (p) => p.aggregate - p.aggregate_sem, y2: (p) => p.aggregate + p.aggregate_sem, stroke: "series", strokeWidth: 1.5 }),
        Plot.line(shown, { x: "budget_s", y: "aggregate", stroke: "series", strokeWidth: 2 }), Plot.dot(shown, { x: "budget_s", y: "aggregate", fill: "series", r: 4 }),
        Plot.tip(shown, Plot.pointer({ x: "budget_s", y: "aggregate", ...charts.text((p) => `${said(p.series)}\n${IB.seconds(p.budget_s)}: ${IB.withSem(p.aggregate, p.aggregate_sem)}`) }))],
    }), { columns: [{ title: "row", cell: (p) => said(p.series) }, { title: "budget", n: true, cell: (p) => IB.seconds(p.budget_s) }, { title: "aggregate", n: true, cell: (p) => IB.withSem(p.aggregate, p.aggregate_sem) }], rows: shown },
    series.map((s, i) => [said(s), charts.SERIES[i % charts.SERIES.length]]));
  };
  const drawConditions = () => {
    const all = B.rows({ ...state, condition: "", q: state.q });
    const several = d3.groups(all, (r) => r.agent).filter(([, rows]) => rows.length > 1);
    const slot = node("condition-table");
    if (!several.length) { slot.replaceChildren(el("p.note", {}, "Every row here was run under one condition.")); return; }
    slot.replaceChildren(el("div.scroll", { tabindex: 0 }, IB.fill(el("table"), [
      { title: "agent", cell: (r) => B.short(r.agent) }, { title: "condition", cell: (r) => IB.condition(r.condition) },
      { title: "aggregate", n: true, cell: (r) => IB.withSem(r.aggregate, r.aggregate_sem) },
      ...scenarioNames().map((name) => ({ title: name, n: true, cell: (r) => cell(r.cells.get(name)) })),
      { title: "passed", n: true, cell: (r) => { const n = d3.sum(r.cells.values(), (c) => c.outcomes.passed || 0); const of = d3.sum(r.cells.values(), (c) => d3.sum(Object.values(c.outcomes))); return `${n} of ${of}`; } },
    ], several.flatMap(([, rows]) => rows))));
  };
  const drawCost = () => {
    const groups = d3.groups(B.shownRuns(state).filter((r) => r.on_board), B.label).map(([label, runs]) => ({ label, n: runs.length, hours: d3.sum(runs, (r) => r.total_s) / 3600,
      usd: runs.some((r) => r.api_usd !== null) ? d3.sum(runs, (r) => r.api_usd || 0) : null, mean: d3.mean(runs, (r) => r.speedup) }));
    groups.sort((a, b) => (b.usd ?? -1) - (a.usd ?? -1) || b.hours - a.hours);
    node("cost-table").replaceChildren(el("div.scroll", { tabindex: 0 }, IB.fill(el("table"), [{ title: "row", cell: (g) => g.label }, { title: "runs", n: true, cell: (g) => String(g.n) },
      { title: "machine time", n: true, cell: (g) => IB.seconds(g.hours * 3600) }, { title: "API cost", n: true, cell: (g) => g.usd === null ? "–" : `$${g.usd.toFixed(2)}` },
      { title: "API $ per × of mean speedup", n: true, cell: (g) => g.usd === null ? "–" : `$${(g.usd / g.mean).toFixed(2)}` }], groups)));
  };

  // Runs ----------------------------------------------------------------------------------------------------------
  const drawRuns = () => {
    const runs = B.shownRuns(state).sort((a, b) => b.speedup - a.speedup);
    const mark = (r) => el("input", { type: "checkbox", "aria-label": `compare ${B.label(r)}`, checked: marked.includes(r.id), onchange: (event) => {
      marked = event.target.checked ? [...marked, r.id].slice(-2) : marked.filter((id) => id !== r.id);
      node("compare-link").href = `compare.html#${marked.map((id, i) => `${"ab"[i]}=${id}`).join("&")}`;
      drawRuns();
    } });
    IB.fill(node("run-table"), [{ title: "", row: false, cell: mark }, { title: "run", cell: (r) => IB.runLink(r, B.label(r)) }, { title: "scenario", cell: (r) => r.scenario },
      { title: "seeds", cell: (r) => `${r.seeds}${r.repeat ? ` r${r.repeat}` : ""}` }, { title: "speedup", n: true, cell: (r) => IB.times(r.speedup) },
      { title: "measured", n: true, cell: (r) => IB.times(r.raw_speedup) }, { title: "metric", n: true, cell: (r) => IB.native(r.metric, r.value) },
      { title: "evaluations", n: true, cell: (r) => String(r.evaluations ?? "–") }, { title: "time", n: true, cell: (r) => IB.seconds(r.total_s) }, { title: "outcome", cell: (r) => IB.outcome(r.outcome) }], runs.slice(0, mostRuns));
    node("more-runs").hidden = runs.length <= mostRuns;
    node("more-runs").textContent = `Show ${Math.min(200, runs.length - mostRuns)} more of ${runs.length}`;
  };
  const drawUnderWay = () => {
    node("under-way").hidden = !data.unfinished.length;
    const clock = (at) => at === null ? "–" : new Date(at * 1000).toISOString().replace("T", " ").slice(0, 19);
    IB.fill(node("under-way-table"), [{ title: "agent", cell: (r) => r.agent }, { title: "suite", cell: (r) => r.suite }, { title: "scenario", cell: (r) => r.scenario }, { title: "condition", cell: (r) => r.condition },
      { title: "seeds", cell: (r) => r.seeds }, { title: "phase", cell: (r) => r.phase }, { title: "evaluations", n: true, cell: (r) => String(r.evaluations) }, { title: "last event (UTC)", cell: (r) => clock(r.last_at) }], data.unfinished);
  };

  const draw = () => {
    drawChoices(); drawBoard(); drawReferences(); drawScenarios(); drawOutcomes(); drawFound();
    budgetChart(node("budget-chart"), (B.current(state)?.budgets || []).filter((p) => B.found(state, p.series)));
    drawConditions(); drawCost(); IB.insights.draw(B, state); drawRuns();
  };
  const changed = () => {
    read();
    mostRuns = 60;
    history.replaceState(null, "", `#${B.write(state)}`);
    draw();
  };
  // The search field is heard as one types; its change, when one clicks elsewhere, would redraw what is being clicked.
  node("controls").addEventListener("change", (event) => { const { id, name, value } = event.target; if (id === "q") return; changed(); if (name === "focus") document.querySelector(`#focus input[value="${CSS.escape(value)}"]`)?.focus(); });
  node("q").addEventListener("input", changed);
  node("controls").addEventListener("submit", (event) => event.preventDefault());
  node("controls").addEventListener("reset", (event) => { event.preventDefault(); state = { ...B.defaults(), board: state.board }; history.replaceState(null, "", `#${B.write(state)}`); draw(); });
  node("more-runs").addEventListener("click", () => { mostRuns += 200; drawRuns(); });
  addEventListener("hashchange", () => { if (location.hash.includes("=")) { state = B.parse(location.hash); draw(); } });
  draw();
  drawUnderWay();
})();
