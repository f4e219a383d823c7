// The charts of a run's page.
"use strict";
(() => {
  const { el } = IB;
  const run = IB.get(document.getElementById("run").dataset.run);
  const { show, none, distribution, timeline, text } = IB.charts;

  const phases = document.getElementById("phases");
  if (run.spans.length) {
    show(phases, "Phases of the run on its clock", (width) => Plot.plot({
      width, height: run.spans.length * 24 + 48, marginLeft: 84, marginRight: 20, marginTop: 4, marginBottom: 40, style: { fontSize: "12px", background: "transparent" },
      x: { label: "minutes since the run began", grid: true, transform: (s) => s / 60 },
      y: { domain: [...new Set(run.spans.map((s) => s.phase))], label: null, tickSize: 0 },
      marks: [
        Plot.barX(run.spans, { y: "phase", x1: "start_s", x2: (s) => Math.max(s.end_s, s.start_s + 0.01), fill: "var(--s1)", insetTop: 4, insetBottom: 4, rx: 2 }),
        Plot.tip(run.spans, Plot.pointerY({ y: "phase", x: "end_s", ...text((s) => `${s.phase}\n${IB.seconds(s.end_s - s.start_s)}, from ${IB.seconds(s.start_s)}`) })),
      ],
    }), { columns: [{ title: "phase", cell: (s) => s.phase }, { title: "from", n: true, cell: (s) => IB.seconds(s.start_s) },
      { title: "took", n: true, cell: (s) => IB.seconds(s.end_s - s.start_s) }], rows: run.spans });
  } else none(phases, "The run's log has no phases.");

  timeline(document.getElementById("timeline"), [{ series: "evaluations", metric: run.row.metric, baseline: run.row.baseline,
    budget_s: run.budget_s, session_s: run.session_s, evaluations: run.evaluations }]);

  const cards = document.getElementById("latency");
  for (const name of [...new Set(run.distributions.map((d) => d.name))]) {
    const figure = el("figure");
    cards.append(el("div.card", {}, el("h3", {}, name), figure));
    distribution(figure, name, run.distributions.filter((d) => d.name === name).map((d) => ({ ...d, series: d.load })));
  }
})();
