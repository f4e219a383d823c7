// What the overview shows, derived from data and choices: no drawing here.
"use strict";
IB.board = (() => {
  const { boards, runs, published } = IB.get("overview");
  const LETTERS = new Map([["prefill", "A"], ["decode", "B"], ["throughput", "C"], ["balanced", "D"]]);
  const defaults = () => ({ board: boards[0]?.id || "", condition: "", kind: "", q: "", focus: "aggregate", raw: false, published: false });

  // Choices from the address and back: only what differs from the defaults is written.
  const parse = (hash) => {
    const state = defaults();
    const given = new URLSearchParams(hash.slice(1));
    for (const name of Object.keys(state)) {
      if (!given.has(name)) continue;
      state[name] = typeof state[name] === "boolean" ? given.get(name) === "1" : given.get(name);
    }
    if (!boards.some((b) => b.id === state.board)) state.board = boards[0]?.id || "";
    return state;
  };
  const write = (state) => {
    const out = new URLSearchParams();
    for (const [name, value] of Object.entries(defaults())) {
      if (state[name] !== value) out.set(name, state[name] === true ? "1" : state[name]);
    }
    return out.toString();
  };

  const current = (state) => boards.find((b) => b.id === state.board);
  const ofKind = (kind, wanted) => !wanted || kind === wanted || (wanted === "agent" && ["agent", "script", "red team"].includes(kind))
    || (wanted === "default" && kind === "baseline");
  const agents = new Set([...runs, ...boards.flatMap((b) => b.floor)].map((r) => r.agent));
  const alike = new Map();
  for (const agent of agents) alike.set(IB.name(agent), (alike.get(IB.name(agent)) || 0) + 1);
  const short = (agent) => alike.get(IB.name(agent)) > 1 ? `${IB.name(agent)} · ${IB.scaffold(agent) || agent}` : IB.name(agent);
  const label = (row) => row.condition === "default" ? short(row.agent) : `${short(row.agent)}, ${IB.condition(row.condition)}`;
  const found = (state, ...texts) => texts.some((t) => t.toLowerCase().includes(state.q.trim().toLowerCase()));
  const passes = (state, row) => (!state.condition || row.condition === state.condition) && ofKind(row.kind, state.kind);

  // Rows of the leaderboard, best first: ranked by the aggregate or by one scenario, among the rows that the filters keep.
  const rows = (state) => {
    const board = current(state);
    if (!board) return [];
    const [agents, cells] = state.raw ? [board.raw, board.cells_raw] : [board.floor, board.cells_floor];
    const kinds = new Map(board.floor.map((a, i) => [`${a.agent}\n${a.condition}`, board.kinds[i]]));
    const all = agents.map((a) => {
      const own = new Map(cells.filter((c) => c.agent === a.agent && c.condition === a.condition).map((c) => [c.scenario, c]));
      const cell = own.get(state.focus);
      const whole = state.focus === "aggregate";
      return { ...a, label: label(a), key: `${a.agent}\n${a.condition}`, kind: kinds.get(`${a.agent}\n${a.condition}`), cells: own,
        value: whole ? a.aggregate : cell?.speedup_mean ?? null, sem: whole ? a.aggregate_sem : cell?.speedup_sem ?? null,
        eligible: whole ? a.rank !== null : Boolean(cell?.ranked) };
    }).filter((r) => passes(state, r));
    all.sort((a, b) => b.eligible - a.eligible || (b.value ?? -1) - (a.value ?? -1) || a.label.localeCompare(b.label));
    const ranked = all.filter((r) => r.eligible && r.value !== null);
    for (const row of all) row.place = ranked.includes(row) ? 1 + ranked.filter((o) => o.value > row.value).length : null;
    return all.filter((r) => found(state, r.label, r.agent, r.condition));
  };

  const publishedRows = (state) => {
    const name = state.focus === "aggregate" ? "aggregate" : LETTERS.get(state.focus) || "aggregate";
    const all = published.rows.filter((r) => ofKind(r.kind, state.kind)).map((r) => ({ ...r, label: r.agent, key: r.agent, value: r.means[name], sem: r.sems[name] || null }));
    all.sort((a, b) => b.value - a.value);
    const agents = all.filter((r) => r.kind === "agent");
    for (const row of all) row.place = row.kind === "agent" ? 1 + agents.filter((o) => o.value > row.value).length : null;
    return all.filter((r) => found(state, r.label, r.scaffold));
  };

  const shownRuns = (state) => runs.filter((r) => r.board === state.board && passes(state, r) && found(state, label(r), r.agent, r.condition, r.outcome)
    && (state.focus === "aggregate" || r.scenario === state.focus));

  return { boards, published, defaults, parse, write, current, rows, publishedRows, shownRuns, label, short, passes, found, LETTERS };
})();
