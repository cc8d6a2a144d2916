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

// ---- viewers: a plane's slices, worst first, with outlines

const SVG = "http://www.w3.org/2000/svg";

function element(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

for (const viewer of document.querySelectorAll(".viewer")) {
  const data = JSON.parse(viewer.querySelector("script").textContent);
  const slider = viewer.querySelector("input[type=range]");
  const layers = [...viewer.querySelectorAll("input[type=checkbox]")];
  const axis = { xy: "z", xz: "y", yz: "x" };
  let marked = null; // the place of an error that was asked for

  const plane = () => viewer.querySelector("input[type=radio]:checked").value;
  const slides = () => data.slides.filter((slide) => slide.plane === plane());

  function draw() {
    const shown = slides();
    slider.max = Math.max(0, shown.length - 1);
    slider.disabled = shown.length < 2;
    const slide = shown[slider.value];
    const picture = viewer.querySelector(".picture");
    const caption = viewer.querySelector("figcaption");
    picture.replaceChildren();
    if (!slide) {
      caption.textContent = "No slice of this plane is shown.";
      return;
    }
    // The picture is as wide as the slice is in space; a slice's pixels need not be square.
    const height = slide.width / data.aspect[slide.plane];
    const svg = element("svg", { viewBox: `0 0 ${slide.width} ${height}`, role: "img" });
    const group = element("g", { transform: `scale(1 ${height / slide.height})` });
    if (slide.image) {
      group.append(element("image", {
        href: slide.image, width: slide.width, height: slide.height, preserveAspectRatio: "none",
      }));
    }
    for (const layer of layers) {
      if (layer.checked && slide.outlines[layer.value]) {
        const kind = [...layer.parentElement.classList].find((name) => name.startsWith("layer-"));
        group.append(element("path", { d: slide.outlines[layer.value], class: kind }));
      }
    }
    if (marked && slide.plane === "xy" && slide.index === marked[0]) {
      const [, y, x] = marked.map((voxel) => (voxel + 0.5) / data.step);
      group.append(element("ellipse", { cx: x, cy: y, rx: slide.width / 16, ry: (slide.width / 16) * (slide.height / height) }));
    }
    svg.append(group);
    const wrong = Object.entries(slide.wrong).map(([method, count]) => `${method} ${count}`).join(", ");
    const text = `${slide.plane}, ${axis[slide.plane]} = ${slide.index} (${Number(slider.value) + 1} of ${shown.length}). ` +
      `Wrong voxels: ${wrong}.`;
    svg.setAttribute("aria-label", `Slice ${text}`);
    caption.textContent = text;
    slider.setAttribute("aria-valuetext", `${axis[slide.plane]} = ${slide.index}`);
    picture.append(svg);
  }

  slider.addEventListener("input", () => { marked = null; draw(); });
  layers.forEach((layer) => layer.addEventListener("change", draw));
  viewer.querySelectorAll("input[type=radio]").forEach((radio) =>
    radio.addEventListener("change", () => { slider.value = 0; marked = null; draw(); }));
  for (const button of viewer.parentElement.querySelectorAll("button.show")) {
    button.addEventListener("click", () => {
      marked = button.dataset.centre.split(",").map(Number);
      viewer.querySelector("input[type=radio][value=xy]").checked = true;
      const shown = slides();
      slider.max = Math.max(0, shown.length - 1);
      slider.value = shown.findIndex((slide) => slide.index === marked[0]);
      draw();
      viewer.parentElement.scrollIntoView({ block: "start" });
    });
  }
  draw();
}
