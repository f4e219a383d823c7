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

  const machine = document.getElementById("telemetry");
  for (const name of [...new Set(run.telemetry.map((t) => t.name))]) {
    const lines = run.telemetry.filter((t) => t.name === name);
    const points = lines.flatMap((t) => t.at_s.map((at, i) => ({ device: t.device, at, value: t.values[i] })));
    const devices = [...new Set(lines.map((t) => t.device))];
    const { unit } = lines[0];
    const figure = el("figure");
    machine.append(el("div.card", {}, el("h3", {}, name, el("small", {}, unit)), figure));
    show(figure, `${name} during the measurement`, (width) => Plot.plot({
      width, height: 200, marginLeft: 48, marginRight: 16, marginBottom: 40, style: { fontSize: "12px", background: "transparent" },
      x: { label: "seconds of the measurement", grid: true }, y: { label: unit, grid: true, zero: true, nice: true },
      color: { domain: devices, range: IB.charts.SERIES },
      marks: [Plot.line(points, { x: "at", y: "value", stroke: "device", strokeWidth: 2 }), Plot.dot(points.length < 60 ? points : [], { x: "at", y: "value", fill: "device", r: 2.5 }),
        Plot.tip(points, Plot.pointerX({ x: "at", y: "value", ...text((p) => `${p.device}\n${IB.seconds(p.at)}: ${IB.significant(p.value)} ${unit}`) }))],
    }), { columns: [{ title: "device", cell: (t) => t.device }, { title: "mean", n: true, cell: (t) => `${IB.significant(d3.mean(t.values))} ${unit}` },
      { title: "most", n: true, cell: (t) => `${IB.significant(d3.max(t.values))} ${unit}` }, { title: "looks", n: true, cell: (t) => String(t.values.length) }], rows: lines },
    devices.length > 1 ? devices.map((d, i) => [d, IB.charts.SERIES[i % IB.charts.SERIES.length]]) : []);
  }
})();
