// What every page needs: data that was put, elements from text, numbers with units. No text of a record becomes markup.
"use strict";
const IB = (() => {
  const data = new Map();
  const waiting = new Map();

  const put = (name, text) => {
    data.set(name, JSON.parse(text));
    for (const done of waiting.get(name) || []) done(data.get(name));
    waiting.delete(name);
  };

  // The data of a run, by a script element: files cannot be fetched from file://.
  const load = (name, source) => new Promise((resolve, reject) => {
    if (data.has(name)) { resolve(data.get(name)); return; }
    waiting.set(name, [...(waiting.get(name) || []), resolve]);
    const script = document.createElement("script");
    script.src = source;
    script.onerror = () => reject(new Error(`${source} is missing`));
    document.head.append(script);
  });

  // An element: el("td.n", {title: "…"}, child, "text").
  const el = (kind, attributes = {}, ...children) => {
    const [tag, ...classes] = kind.split(".");
    const node = document.createElement(tag);
    if (classes.length) node.className = classes.join(" ");
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.flat().filter((c) => c !== null && c !== undefined));
    return node;
  };

  const fixed = (value, digits = 2) => value === null || value === undefined ? "–" : value.toFixed(digits);
  const times = (value) => value === null || value === undefined ? "–" : `${value >= 100 ? value.toFixed(0) : value.toFixed(2)}×`;
  const withSem = (mean, sem) => mean === null || mean === undefined ? "–"
    : sem === null || sem === undefined ? times(mean) : `${fixed(mean)} ± ${fixed(sem)}×`;
  const significant = (value, digits = 4) => String(Number(value.toPrecision(digits)));
  const seconds = (value) => {
    if (value === null || value === undefined) return "–";
    if (value === 0) return "0 s";
    const size = Math.abs(value);
    const [unit, factor] = size < 1e-3 ? ["µs", 1e6] : size < 1 ? ["ms", 1e3] : size < 120 ? ["s", 1]
      : size < 7200 ? ["min", 1 / 60] : ["h", 1 / 3600];
    return `${significant(value * factor)} ${unit}`;
  };
  const native = (metric, value) => {
    if (value === null || value === undefined) return "–";
    if (metric.endsWith("per_s")) return `${significant(value)} req/s`;
    return metric.endsWith("_s") ? seconds(value) : significant(value);
  };
  const METRICS = new Map([["ttft_s", "TTFT"], ["tpot_s", "TPOT"], ["requests_per_s", "requests/s"], ["balanced_score", "balanced score"]]);
  const metric = (name) => METRICS.get(name) || name;
  const KINDS = new Map([["agent", "agent"], ["search", "search"], ["default", "engine default"], ["baseline", "baseline"],
    ["script", "script"], ["red team", "red team"]]);
  const kindName = (kind) => KINDS.get(kind) || kind;
  // An agent's full name as a person would say it; the full name stays in titles and addresses.
  const name = (agent) => {
    const [, kind, main, query] = /^([^:]*):([^?]*)\??(.*)$/s.exec(agent) || [null, "", agent, ""];
    const given = new URLSearchParams(query);
    if (kind === "engine") return main === "pytorch" ? "PyTorch baseline" : `${main} default`;
    const sampler = ["smac", "tpe"].includes(main) ? main.toUpperCase() : main;
    if (kind.startsWith("search")) return [kind === "search" ? `${sampler} search` : `${sampler} search, blind`, given.get("engine")].filter(Boolean).join(" · ");
    if (kind === "script") return main.split("/").at(-1) || main;
    return given.get("effort") ? `${main} (${given.get("effort")})` : main;
  };
  const scaffold = (agent) => /^(engine|search|search-blind|script):/.test(agent) ? "" : agent.split(":")[0];
  const SETTINGS = { budget_s: (v) => `budget ${seconds(Number(v))}`, prompt: (v) => `${v} prompt`, start: (v) => `starts from ${v}`, engine_only: (v) => `${v} only` };
  const condition = (text) => text.split(/\+(?=[a-z_]+=)/).map((part) => {
    const [key, ...value] = part.split("=");
    return Object.hasOwn(SETTINGS, key) ? SETTINGS[key](value.join("=")) : part;
  }).join(", ");
  const clock = (s) => `${Math.floor(s / 3600)}:${String(Math.floor(s / 60) % 60).padStart(2, "0")}:${String(Math.floor(s) % 60).padStart(2, "0")}`;
  const words = (name) => name.replaceAll("_", " ");

  // A table from columns ({title, n, cell}) and rows; a cell is text or nodes.
  const fill = (table, columns, rows, caption) => {
    const named = columns.findIndex((c) => c.row !== false);
    const head = el("thead", {}, el("tr", {}, columns.map((c) => {
      const th = el(c.n ? "th.n" : "th", { scope: "col", "aria-sort": c.sorted ? "descending" : null }, c.title);
      return th;
    })));
    const body = el("tbody", {}, rows.map((row) => el("tr", { class: row.class || null }, columns.map((c, i) =>
      el((i === named ? "th" : "td") + (c.n ? ".n" : ""), i === named ? { scope: "row" } : {}, c.cell(row))))));
    table.replaceChildren(...(caption ? [el("caption", {}, caption)] : []), head, body);
    return table;
  };

  const outcome = (name) => el(`span.outcome.${name}`, {}, words(name));
  const runLink = (run, text) => el("a", { href: `${document.body.dataset.depth}runs/${run.id}.html` }, text);
  const base = (metricName, from) => metricName.endsWith("_s") && !metricName.endsWith("per_s") ? (v) => from / v : (v) => v / from;

  if (document.currentScript) document.addEventListener("DOMContentLoaded", () => {
    if (document.body.dataset.live) follow();
  });
  // A live site: its own server is asked for the number of its build, and a newer one is loaded.
  const follow = () => {
    let known = null;
    const said = document.getElementById("live");
    setInterval(async () => {
      let now;
      try {
        now = (await (await fetch(`${document.body.dataset.depth}live.json`, { cache: "no-store" })).json()).build;
      } catch {
        said.textContent = "The server of this page has ended.";
        return;
      }
      if (known !== null && now !== known && !document.activeElement?.matches("input, select")) location.reload();
      else known = known ?? now;
    }, 2000);
  };

  return { put, load, get: (name) => data.get(name), el, fixed, times, withSem, seconds, native, metric, kindName, name, scaffold, condition, clock, words, fill, outcome, runLink, base, significant };
})();
