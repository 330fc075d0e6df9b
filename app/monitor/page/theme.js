// Light or dark: as the system says until somebody chooses, then as chosen. Runs before the page is painted.

(() => {
  const ORDER = ["system", "light", "dark"];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  let chosen = "system";
  try {
    chosen = localStorage.getItem("theme") ?? "system";
  } catch {
    // Storage that is forbidden costs the memory of the choice, no more.
  }
  if (!ORDER.includes(chosen)) chosen = "system";

  function apply() {
    const theme = chosen === "system" ? (dark.matches ? "dark" : "light") : chosen;
    if (root.dataset.theme === theme) return;
    root.dataset.theme = theme;
    document.dispatchEvent(new Event("theme"));
  }

  apply();
  dark.addEventListener("change", apply);
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    button.textContent = `Theme: ${chosen}`;
    button.addEventListener("click", () => {
      chosen = ORDER[(ORDER.indexOf(chosen) + 1) % ORDER.length];
      button.textContent = `Theme: ${chosen}`;
      try {
        localStorage.setItem("theme", chosen);
      } catch {
        // As above.
      }
      apply();
    });
  });
})();
