"use strict";

// Tables: a click on a heading sorts by it, a second click turns the order round.
function sortTable(button) {
  const heading = button.closest("th");
  const table = heading.closest("table");
  const column = [...heading.parentNode.children].indexOf(heading);
  const ascending = heading.getAttribute("aria-sort") !== "ascending";
  for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const key = (row) => row.children[column].dataset.key ?? row.children[column].textContent;
  const compare = (a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x === "" || y === "") return (x === "") - (y === ""); // no figure: last in either order
    const numbers = heading.dataset.kind === "number";
    const order = numbers ? Number(x) - Number(y) : x.localeCompare(y, undefined, { numeric: true });
    return ascending ? order : -order;
  };
  const body = table.tBodies[0];
  body.append(...[...body.rows].sort(compare));
}

function filterTable(field) {
  const wanted = field.value.trim().toLowerCase();
  const table = document.getElementById(field.dataset.table);
  for (const row of table.tBodies[0].rows) {
    row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
  }
}

for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => sortTable(button));
}
for (const field of document.querySelectorAll("input[data-table]")) {
  field.addEventListener("input", () => filterTable(field));
}
for (const scripted of document.querySelectorAll(".scripted")) scripted.hidden = false;

// Figures: a string such as "--right" in them is a colour of the reader's scheme.
function themed(value, style) {
  if (typeof value === "string") {
    return value.startsWith("--") ? style.getPropertyValue(value).trim() || value : value;
  }
  if (Array.isArray(value)) return value.map((item) => themed(item, style));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, themed(v, style)]));
}

async function loadPlotly() {
  const packed = Uint8Array.from(
    atob(document.getElementById("plotly").textContent.trim()),
    (character) => character.charCodeAt(0),
  );
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

function drawCharts(charts) {
  const style = getComputedStyle(document.documentElement);
  const drawn = [...document.querySelectorAll("[data-chart]")].map((place) => {
    const { data, layout } = themed(charts[place.dataset.chart], style);
    place.classList.add("drawn");
    return Plotly.react(place, data, layout, { responsive: true, displayModeBar: false });
  });
  return Promise.all(drawn);
}

async function start() {
  if (!document.getElementById("plotly")) return;
  if (typeof DecompressionStream === "undefined") return;
  const charts = JSON.parse(document.getElementById("charts").textContent);
  await loadPlotly();
  await drawCharts(charts);
  for (const query of ["(prefers-color-scheme: dark)", "print"]) {
    matchMedia(query).addEventListener("change", () => drawCharts(charts));
  }
}

start().finally(() => document.documentElement.classList.add("ready"));
