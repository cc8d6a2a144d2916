"use strict";

// ---- tables: a heading sorts by its column, numbers as numbers

for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = heading.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const descending = heading.getAttribute("aria-sort") === "ascending";
      headings.forEach((other) => other.hasAttribute("aria-sort") && other.setAttribute("aria-sort", "none"));
      heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => compare(a.cells[column], b.cells[column], descending));
      table.tBodies[0].append(...rows);
    });
  });
}

function compare(a, b, descending) {
  const [x, y] = [a, b].map((cell) => Number.parseFloat(cell.dataset.value ?? cell.textContent));
  if (Number.isNaN(x) && Number.isNaN(y)) {
    const order = a.textContent.localeCompare(b.textContent);
    return descending ? -order : order;
  }
  if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1; // what is not defined comes last
  return descending ? y - x : x - y;
}

// ---- downloads: every table as CSV, every plot as SVG, made from the page itself

function download(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name.replace(/[^\w.-]+/g, "_");
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function downloadButton(text, label, action) {
  const button = document.createElement("button");
  button.className = "export";
  button.type = "button";
  button.textContent = text;
  button.setAttribute("aria-label", label);
  button.addEventListener("click", action);
  return button;
}

function cellText(cell) {
  const value = cell.dataset.value ?? cell.textContent.replace(/[★↑↓]/g, "").trim().replace(/\s+/g, " ");
  const text = value === "nan" ? "" : value;
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

for (const region of document.querySelectorAll(".wide")) {
  const table = region.querySelector("table");
  const name = region.getAttribute("aria-label");
  region.after(downloadButton("CSV", `Download as CSV: ${name}`, () => {
    const rows = [...table.rows].map((row) => [...row.cells].filter((cell) => !cell.hasAttribute("data-aside")));
    download(`${name}.csv`, "text/csv", rows.map((row) => row.map(cellText).join(",")).join("\r\n") + "\r\n");
  }));
}

const DRAWN = ["fill", "stroke", "stroke-width", "stroke-dasharray"];

function svgText(svg) {
  const copy = svg.cloneNode(true);
  const box = svg.viewBox.baseVal;
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("width", box.width);
  copy.setAttribute("height", box.height);
  copy.style.color = "#000";
  const made = copy.querySelectorAll("[class]"); // what the page's style sheet draws
  svg.querySelectorAll("[class]").forEach((shape, i) => {
    const style = getComputedStyle(shape);
    for (const name of DRAWN) made[i].style.setProperty(name, style.getPropertyValue(name));
    made[i].style.setProperty("vector-effect", "non-scaling-stroke");
  });
  return new XMLSerializer().serializeToString(copy);
}

for (const figure of document.querySelectorAll(".plots figure")) {
  const svg = figure.querySelector("svg");
  const name = svg.getAttribute("aria-label");
  figure.append(downloadButton("SVG", `Download as SVG: ${name}`, () => download(`${name}.svg`, "image/svg+xml", svgText(svg))));
}
