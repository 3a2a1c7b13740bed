'use strict';
// Sorting, filtering, and opening what a link points to. Without it the page is complete.
const units = {ns: 1, 'µs': 1e3, ms: 1e6, s: 1e9, B: 1, KiB: 1024, MiB: 1048576, GiB: 1073741824, '%': 1};
const figure = text => {
  const found = /^[≥×<\s]*([+-]?[\d.]+)\s*(ns|µs|ms|s|B|KiB|MiB|GiB|%)?(?![\w/])/.exec(text.trim());
  return found ? Number(found[1]) * (units[found[2]] || 1) : NaN;
};
const sortable = table => {
  const body = table.tBodies[0], original = [...body.rows];
  [...table.tHead.rows[0].cells].forEach((th, column) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.append(...th.childNodes);
    if (!button.textContent.trim()) return;
    th.append(button);
    button.addEventListener('click', () => {
      const next = {ascending: 'descending', descending: null}[th.getAttribute('aria-sort')] === undefined ? 'ascending'
        : {ascending: 'descending', descending: null}[th.getAttribute('aria-sort')];
      table.querySelectorAll('[aria-sort]').forEach(other => other.removeAttribute('aria-sort'));
      if (!next) return body.append(...original);
      th.setAttribute('aria-sort', next);
      const sign = next === 'ascending' ? 1 : -1;
      const keyed = original.map(row => [figure(row.cells[column].textContent), row.cells[column].textContent, row]);
      const figures = keyed.filter(([key]) => !isNaN(key)).length * 2 > keyed.length;
      keyed.sort(([a, s], [b, t]) => figures ? (isNaN(a) - isNaN(b)) || sign * (a - b) : sign * s.localeCompare(t));
      body.append(...keyed.map(([, , row]) => row));
    });
  });
};
const filterable = (table, at) => {
  const input = document.createElement('input');
  input.type = 'search';
  input.placeholder = 'filter';
  input.setAttribute('aria-label', 'filter the rows of the table below');
  input.addEventListener('input', () => {
    const words = input.value.toLowerCase().split(/\s+/);
    for (const row of table.tBodies[0].rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every(word => text.includes(word));
    }
  });
  at.before(input);
};
document.querySelectorAll('table').forEach(table => {
  sortable(table);
  if (table.tBodies[0].rows.length > 12) filterable(table, table.closest('.wide') || table);
});
// Of many commits more lie in a line than can be drawn as links: the one below the pointer is found here.
document.querySelectorAll('svg[data-points]').forEach(svg => {
  const title = svg.appendChild(document.createElementNS('http://www.w3.org/2000/svg', 'title'));
  const report = event => {
    const box = svg.getBoundingClientRect(), points = Number(svg.dataset.points);
    const share = ((event.clientX - box.left) * 260 / box.width - 4) / 252;
    const at = Math.round(Math.min(Math.max(share, 0), 1) * (points - 1)) + Number(svg.dataset.from);
    // Of several reports of one commit the line does not say which.
    const rows = document.querySelectorAll(`tr[data-commit="${at}"]`);
    return rows.length === 1 ? rows[0] : null;
  };
  svg.addEventListener('pointermove', event => {
    const row = report(event);
    if (row) title.textContent = [...row.cells].slice(0, 2).map(cell => cell.textContent.trim()).join(' ');
  });
  svg.addEventListener('click', event => {
    if (event.target.closest('a') || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const link = report(event)?.querySelector('a');
    if (!link) return;
    event.preventDefault();
    location.href = link.href;
  });
});
const reveal = () => {
  let name = location.hash.slice(1);
  try { name = decodeURIComponent(name); } catch { /* as it is */ }
  const target = name && document.getElementById(name);
  if (!target) return;
  for (let at = target; at; at = at.parentElement) if (at.tagName === 'DETAILS') at.open = true;
  const inner = target.querySelector(':scope > details');
  if (inner) inner.open = true;
  target.scrollIntoView();
};
addEventListener('hashchange', reveal);
reveal();
let opened = [];
addEventListener('beforeprint', () => {
  opened = [...document.querySelectorAll('details:not([open])')];
  opened.forEach(details => { details.open = true; });
});
addEventListener('afterprint', () => opened.forEach(details => { details.open = false; }));
