// Applies the remembered theme before the first paint; everything else is in theme.js.
(() => {
  try {
    const theme = localStorage.getItem("vivavoce.theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // Storage is switched off: the system's theme applies.
  }
  if (new URLSearchParams(location.search).has("view"))
    document.documentElement.dataset.view = "clean";
})();
