// The page works without this: it adds the choice of a theme, and opens what is folded for print.
(() => {
  const root = document.documentElement;
  const button = document.getElementById('theme');
  const order = ['system', 'dark', 'light'];
  const show = (theme) => {
    if (theme === 'system') delete root.dataset.theme;
    else root.dataset.theme = theme;
    button.textContent = 'Theme: ' + theme;
  };
  // Browsers may keep nothing for a page that is opened as a file.
  const stored = () => { try { return localStorage.getItem('cct-report-theme'); } catch { return null; } };
  const store = (theme) => { try { localStorage.setItem('cct-report-theme', theme); } catch { } };
  let theme = order.includes(stored()) ? stored() : 'system';
  show(theme);
  button.hidden = false;
  button.addEventListener('click', () => {
    theme = order[(order.indexOf(theme) + 1) % order.length];
    store(theme);
    show(theme);
  });

  let opened = [];
  addEventListener('beforeprint', () => {
    opened = [...document.querySelectorAll('details:not(.bulk):not([open])')];
    opened.forEach((one) => { one.open = true; });
  });
  addEventListener('afterprint', () => opened.forEach((one) => { one.open = false; }));
})();
