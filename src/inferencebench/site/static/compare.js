// Two runs side by side. The choice is in the address: compare.html#a=ID&b=ID.
"use strict";
(() => {
  const { el } = IB;
  const { runs } = IB.get("overview");
  const byId = new Map(runs.map((r) => [r.id, r]));
  const node = (id) => document.getElementById(id);
  const name = (r) => `${IB.name(r.agent)}${r.condition === "default" ? "" : `, ${IB.condition(r.condition)}`}, seeds ${r.seeds}${r.repeat ? ` r${r.repeat}` : ""}, ${IB.times(r.speedup)}`;
  const option = (value, text) => el("option", { value }, text);
  const wanted = () => new URLSearchParams(location.hash.slice(1));
  let chosen = { a: null, b: null };

  const scenarios = [...new Map(runs.map((r) => [`${r.board} ${r.scenario}`, r])).entries()];
  node("scenario").append(...scenarios.map(([key, r]) => option(key, `${r.suite} / ${r.scenario}`)));
  const list = () => runs.filter((r) => `${r.board} ${r.scenario}` === node("scenario").value);
  const offer = () => {
    for (const side of ["a", "b"]) {
      node(side).replaceChildren(...list().map((r) => option(r.id, name(r))));
      if (chosen[side]) node(side).value = chosen[side];
    }
  };

  const row = (title, cell, better) => ({ title, cell, better });
  const facts = (a, b) => {
    const ratio = (pick) => {
      const [x, y] = [pick(a), pick(b)];
      return x && y ? `${IB.significant(y / x, 3)}×` : "–";
    };
    const rows = [
      row("outcome", (r) => IB.outcome(r.row.outcome)), row("why", (r) => r.result.reason),
      row("speedup (scored)", (r) => IB.times(r.row.speedup), ratio((r) => r.row.speedup)),
      row("speedup (measured)", (r) => IB.times(r.row.raw_speedup), ratio((r) => r.row.raw_speedup)),
      row("95 % interval", (r) => r.row.raw_ci95 ? r.row.raw_ci95.map((v) => IB.fixed(v)).join("–") : "–"),
      row(IB.metric(a.row.metric), (r) => IB.native(r.row.metric, r.row.value), ratio((r) => r.row.value)),
      row("best seen", (r) => IB.times(r.row.found_speedup), ratio((r) => r.row.found_speedup)),
      row("accuracy", (r) => r.result.quality ? `${(100 * r.result.quality.accuracy).toFixed(1)} %` : "–", ratio((r) => r.result.quality?.accuracy)),
      row("evaluations", (r) => String(r.evaluations.length), ratio((r) => r.evaluations.length)),
      row("session", (r) => IB.seconds(r.session_s), ratio((r) => r.session_s)),
      row("API cost", (r) => r.row.api_usd === null ? "–" : `$${r.row.api_usd.toFixed(2)}`, ratio((r) => r.row.api_usd)),
      row("record", (r) => IB.runLink(r.row, "page of the run")),
    ];
    IB.fill(node("facts"), [{ title: "", cell: (r) => r.title }, { title: `A: ${a.row.agent}`, cell: (r) => r.cell(a) },
      { title: `B: ${b.row.agent}`, cell: (r) => r.cell(b) }, { title: "B ÷ A", n: true, cell: (r) => r.better || "" }], rows);
  };

  const show = (a, b) => {
    facts(a, b);
    const cards = node("latency");
    cards.replaceChildren();
    const parts = [["A", a], ["B", b]].flatMap(([side, r]) => r.distributions.map((d) => ({ ...d, series: `${side}: ${d.load}` })));
    for (const kind of [...new Set(parts.map((p) => p.name))]) {
      const figure = el("figure");
      cards.append(el("div.card", {}, el("h3", {}, kind), figure));
      IB.charts.distribution(figure, kind, parts.filter((p) => p.name === kind));
    }
    if (!parts.length) cards.append(el("p.note", {}, "Neither run has stored samples."));
    IB.charts.timeline(node("timeline"), [["A", a], ["B", b]].map(([side, r]) => ({ series: `${side}: ${r.row.agent}`, metric: r.row.metric,
      baseline: r.row.baseline, budget_s: r.budget_s, session_s: r.session_s, evaluations: r.evaluations })));
    const checks = (r) => new Map((r.result.integrity?.checks || []).map((c) => [c.name, c]));
    const [ca, cb] = [checks(a), checks(b)];
    const names = [...new Set([...ca.keys(), ...cb.keys()])];
    const quality = (r) => r.result.quality === null ? "not reached" : r.result.quality.incomplete ? "incomplete" : r.result.quality.passed === false ? "fail" : "pass";
    const verdict = (c) => c ? el("span", { class: `verdict ${c.verdict}`, title: c.reason }, c.verdict === "not_applicable" ? "n/a" : c.verdict) : "–";
    IB.fill(node("checks"), [{ title: "gate", cell: (r) => r.name }, { title: "A", cell: (r) => r.a }, { title: "B", cell: (r) => r.b }],
      [{ name: "quality", a: quality(a), b: quality(b) }, ...names.map((n) => ({ name: n, a: verdict(ca.get(n)), b: verdict(cb.get(n)),
        class: ca.get(n)?.verdict === cb.get(n)?.verdict ? "" : "differs" }))]);
    node("launchers").replaceChildren(...[["A", a], ["B", b]].map(([side, r]) => el("div.card", {}, el("h3", {}, `${side}: ${r.row.agent}`),
      el("pre.code", { tabindex: 0 }, r.launcher || "not kept"))));
    node("comparison").hidden = false;
  };

  const update = async () => {
    chosen = { a: node("a").value, b: node("b").value };
    if (!byId.has(chosen.a) || !byId.has(chosen.b)) return;
    history.replaceState(null, "", `#a=${chosen.a}&b=${chosen.b}`);
    try {
      const [a, b] = await Promise.all([chosen.a, chosen.b].map((id) => IB.load(id, `runs/${id}.js`)));
      show(a, b);
      node("said").textContent = a.row.board === b.row.board ? "" : "These runs are of different boards: their speedups are over different baselines.";
    } catch (error) {
      node("said").textContent = error.message;
    }
  };

  const arrive = () => {
    const given = wanted();
    const first = byId.get(given.get("a")) || byId.get(given.get("b")) || runs[0];
    if (!first) { node("said").textContent = "There is no run yet."; return; }
    node("scenario").value = `${first.board} ${first.scenario}`;
    const others = list();
    const other = others.find((r) => r.id !== first.id) || first;
    chosen = { a: first.id, b: byId.get(given.get("b")) && given.get("a") ? given.get("b") : other.id };
    offer();
    if (![...node("b").options].some((o) => o.value === chosen.b)) node("b").append(option(chosen.b, name(byId.get(chosen.b))));
    node("b").value = chosen.b;
    update();
  };
  node("scenario").addEventListener("change", () => { const rows = list(); chosen = { a: rows[0].id, b: (rows[1] || rows[0]).id }; offer(); update(); });
  for (const side of ["a", "b"]) node(side).addEventListener("change", update);
  node("swap").addEventListener("click", () => { const a = node("a").value; node("a").value = node("b").value; node("b").value = a; update(); });
  addEventListener("hashchange", arrive);
  arrive();
})();
