// Loaded before the page is drawn: the chosen theme, and the button that changes it.
"use strict";
(() => {
  const order = ["system", "light", "dark"];
  const stored = () => {
    try { return localStorage.getItem("ib-theme"); } catch { return null; }
  };
  let now = order.includes(stored()) ? stored() : "system";
  const apply = () => {
    if (now === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = now;
    const button = document.getElementById("theme");
    if (button) button.textContent = `Theme: ${now}`;
  };
  apply();
  document.addEventListener("DOMContentLoaded", () => {
    apply();
    document.getElementById("theme").addEventListener("click", () => {
      now = order[(order.indexOf(now) + 1) % order.length];
      try { localStorage.setItem("ib-theme", now); } catch { /* not kept */ }
      apply();
    });
  });
})();
