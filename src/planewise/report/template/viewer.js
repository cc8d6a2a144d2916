// ---- viewers: a case's slices with outlines; see docs/report.md for the keys

const SVG = "http://www.w3.org/2000/svg";
const AXES = { xy: ["z", "y", "x"], xz: ["y", "z", "x"], yz: ["x", "z", "y"] }; // along, down, to the right
const VOXEL = { z: 0, y: 1, x: 2 };
const CLOSEST = 32; // times a slice is enlarged at most
const PIXELS_FROM = 3; // times from which pixels are shown as they are

function element(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

class Viewer {
  constructor(root) {
    this.root = root;
    this.data = JSON.parse(root.querySelector("script").textContent);
    this.picture = root.querySelector(".picture");
    this.slider = root.querySelector("input[type=range]");
    this.layers = [...root.querySelectorAll(".layers input")];
    this.classes = [...root.querySelectorAll(".classes input[type=checkbox]")];
    this.planes = [...root.querySelectorAll(".planes input")];
    this.colours = [...root.querySelectorAll(".colours input")];
    this.marked = null; // the error or the object that was asked for
    this.wanted = null; // the slice that was asked for, where another one is nearest
    this.rank = 0; // of the slice among the worst
    this.listen();
    this.changePlane();
  }

  get plane() { return this.planes.find((radio) => radio.checked).value; }
  get shown() { return this.data.slides.filter((slide) => slide.plane === this.plane); }
  get slide() { return this.shown[this.slider.value]; }
  get whole() { return { x: 0, y: 0, w: this.slide.width, h: this.slide.width / this.data.aspect[this.plane] }; }

  // ---- which slice

  changePlane() {
    this.slider.max = Math.max(0, this.shown.length - 1);
    this.slider.disabled = this.shown.length < 2;
    this.view = null;
    this.rank = -1;
    this.drawProfile();
    this.nextWorst();
  }

  worst() {
    const total = (slide) => Object.values(slide.wrong).reduce((sum, count) => sum + count, 0);
    return this.shown.map((slide, place) => [total(slide), place]).sort((a, b) => b[0] - a[0] || a[1] - b[1]);
  }

  nextWorst() {
    const order = this.worst();
    if (order.length) {
      this.rank = (this.rank + 1) % order.length;
      this.slider.value = order[this.rank][1];
    }
    this.wanted = null;
    this.draw();
  }

  move(by) {
    this.slider.value = Number(this.slider.value) + by;
    this.wanted = null;
    this.draw();
  }

  show(mark) {
    this.marked = mark;
    if (mark.centre && !mark.lower) this.planes[0].checked = true; // an error is marked in xy
    this.changePlane();
    const index = mark.centre[VOXEL[AXES[this.plane][0]]];
    const distances = this.shown.map((slide) => Math.abs(slide.index - index));
    this.slider.value = distances.indexOf(Math.min(...distances));
    this.wanted = this.slide && this.slide.index !== index ? index : null;
    const part = this.slide && this.closeUpAround(mark);
    if (part) this.closeUp(part);
    this.draw();
    this.root.parentElement.scrollIntoView({ block: "start" });
  }

  // ---- zoom and pan: the part of the slice that is shown, in its pixels

  setView(x, y, w) {
    const whole = this.whole;
    w = Math.min(whole.w, Math.max(whole.w / CLOSEST, w));
    const h = (w * whole.h) / whole.w;
    this.view = w >= whole.w ? null
      : { x: Math.min(Math.max(0, x), whole.w - w), y: Math.min(Math.max(0, y), whole.h - h), w, h };
    this.applyView();
  }

  zoom(factor, at) {
    const { x, y, w, h } = this.view ?? this.whole;
    const [atX, atY] = at ?? [x + w / 2, y + h / 2];
    const wide = Math.min(this.whole.w, Math.max(this.whole.w / CLOSEST, w / factor));
    this.setView(atX - (atX - x) * (wide / w), atY - (atY - y) * (wide / w), wide);
  }

  pan(right, down) {
    const { x, y, w } = this.view ?? this.whole;
    this.setView(x + right, y + down, w);
  }

  closeUp({ lower, upper, w: asked }) {
    const box = this.boxOf(lower, upper);
    const tall = this.whole.h / this.slide.height; // a slice's pixels need not be square
    const w = asked ?? Math.max(3 * box.width, (3 * box.height * tall * this.whole.w) / this.whole.h, this.whole.w / 8);
    const h = (w * this.whole.h) / this.whole.w;
    this.setView(box.x + box.width / 2 - w / 2, (box.y + box.height / 2) * tall - h / 2, w);
  }

  closeUpAround({ centre, lower, upper }) {
    if (lower) return { lower, upper };
    const [z, y, x] = centre;
    const part = this.slide.close_ups.find((part) => this.slide.index === z &&
      part.x <= x && x < part.x + part.width && part.y <= y && y < part.y + part.height);
    return part && { lower: centre, upper: centre, w: part.width / this.data.step };
  }

  applyView() {
    const svg = this.picture.querySelector("svg");
    if (!svg) return;
    const { x, y, w, h } = this.view ?? this.whole;
    const enlarged = this.whole.w / w;
    svg.setAttribute("viewBox", `${x} ${y} ${w} ${h}`);
    this.picture.classList.toggle("zoomed", this.view !== null);
    this.picture.classList.toggle("pixels", enlarged >= PIXELS_FROM);
    this.root.querySelector(".enlarged").textContent = this.view ? `${enlarged.toFixed(1)} ×` : "";
  }

  placeOf(event) {
    const matrix = this.picture.querySelector("svg").getScreenCTM().inverse();
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix);
    return [x, y];
  }

  // ---- drawing

  draw() {
    const { slide, plane } = this;
    const caption = this.root.querySelector("figcaption");
    this.picture.replaceChildren();
    if (!slide) {
      caption.textContent = "No slice of this plane is shown.";
      return;
    }
    const svg = element("svg", { role: "img" });
    // The picture is as wide as the slice is in space; a slice's pixels need not be square.
    const group = element("g", { transform: `scale(1 ${this.whole.h / slide.height})` });
    if (slide.image) {
      group.append(element("image", {
        href: slide.image, width: slide.width, height: slide.height, preserveAspectRatio: "none",
      }));
    }
    this.drawOutlines(group, slide);
    for (const part of slide.close_ups) this.drawCloseUp(group, part);
    this.drawMark(group, slide);
    svg.append(group);
    this.picture.append(svg);
    this.applyView();

    const [axis] = AXES[plane];
    const wrong = Object.entries(slide.wrong).map(([method, count]) => `${method} ${count}`).join(", ");
    const place = `${Number(this.slider.value) + 1} of ${this.shown.length}` +
      (this.shown.length < this.data.depth[plane] ? ` shown, ${this.data.depth[plane]} in all` : "");
    const asked = this.wanted === null ? "" : ` It is the nearest to ${axis} = ${this.wanted}.`;
    const text = `${plane}, ${axis} = ${slide.index} (${place}).${asked} Wrong voxels: ${wrong}.`;
    svg.setAttribute("aria-label", `Slice ${text}`);
    caption.textContent = text;
    this.slider.setAttribute("aria-valuetext", `${axis} = ${slide.index}`);
    const now = this.root.querySelector(".profile .now");
    now.setAttribute("x", this.slider.value);
  }

  drawOutlines(group, slide) {
    const byClass = this.colours.some((radio) => radio.checked && radio.value === "class");
    this.root.classList.toggle("by-class", byClass);
    const hidden = new Set(this.classes.filter((box) => !box.checked).map((box) => box.value));
    for (const layer of this.layers.filter((box) => box.checked)) {
      for (const [name, path] of Object.entries(slide.outlines[layer.value] ?? {})) {
        if (hidden.has(name)) continue;
        const made = element("path", { d: path, class: layer.dataset.layer });
        if (byClass) made.style.setProperty("--layer", this.classes.find((box) => box.value === name).dataset.colour);
        group.append(made);
      }
    }
  }

  // a part of the slice in all its voxels, over the thinned one
  drawCloseUp(group, { x, y, width, height, image, outlines }) {
    const { step } = this.data;
    const inside = element("g", { transform: `scale(${1 / step}) translate(${x} ${y})` });
    inside.append(element("rect", { width, height, class: "close-up" }));
    if (image) inside.append(element("image", { href: image, width, height, preserveAspectRatio: "none" }));
    this.drawOutlines(inside, { outlines });
    group.append(inside);
  }

  boxOf(lower, upper) {
    const [, down, right] = AXES[this.plane].map((axis) => VOXEL[axis]);
    const [x, y, toX, toY] = [lower[right], lower[down], upper[right], upper[down]].map((v) => v / this.data.step);
    return { x, y, width: toX - x, height: toY - y };
  }

  drawMark(group, slide) {
    if (!this.marked) return;
    const { centre, lower, upper } = this.marked;
    const along = VOXEL[AXES[this.plane][0]];
    if (lower) {
      const near = Math.max(1, this.data.depth[this.plane] / this.shown.length);
      if (slide.index > lower[along] - near && slide.index < upper[along] + near) {
        group.append(element("rect", { ...this.boxOf(lower, upper), class: "mark" }));
      }
    } else if (this.plane === "xy" && slide.index === centre[0]) {
      const [, y, x] = centre.map((voxel) => (voxel + 0.5) / this.data.step);
      const radius = slide.width / 16;
      group.append(element("ellipse", {
        cx: x, cy: y, rx: radius, ry: (radius * slide.height) / this.whole.h, class: "mark",
      }));
    }
  }

  drawProfile() {
    const counts = this.shown.map((slide) => Object.values(slide.wrong).reduce((sum, count) => sum + count, 0));
    const most = Math.max(1, ...counts);
    const profile = this.root.querySelector(".profile");
    profile.setAttribute("viewBox", `0 0 ${Math.max(1, counts.length)} 1`);
    const bars = counts.map((count, i) => `M${i} 1v${-count / most}h1V1z`).join("");
    profile.replaceChildren(
      element("path", { d: bars || "M0 0" }),
      element("rect", { class: "now", y: 0, width: 1, height: 1, x: 0 }),
    );
  }

  // ---- mouse, fingers and keys

  listen() {
    const redraw = () => this.draw();
    this.slider.addEventListener("input", () => { this.wanted = null; this.draw(); });
    [...this.layers, ...this.classes, ...this.colours].forEach((input) => input.addEventListener("change", redraw));
    this.planes.forEach((radio) => radio.addEventListener("change", () => this.changePlane()));
    const actions = {
      previous: () => this.move(-1), next: () => this.move(1), worst: () => this.nextWorst(),
      closer: () => this.zoom(1.5), farther: () => this.zoom(1 / 1.5), all: () => this.setView(0, 0, Infinity),
      svg: () => download(`${this.root.dataset.name} ${this.plane} ${this.slide.index}.svg`, "image/svg+xml",
        svgText(this.picture.querySelector("svg"))),
    };
    for (const button of this.root.querySelectorAll("button[data-action]")) {
      button.addEventListener("click", () => this.slide && actions[button.dataset.action]());
    }
    for (const button of this.root.parentElement.querySelectorAll("button.show")) {
      const numbers = (name) => button.dataset[name]?.split(",").map(Number);
      button.addEventListener("click", () =>
        this.show({ centre: numbers("centre"), lower: numbers("lower"), upper: numbers("upper") }));
    }
    this.listenToKeys();
    this.listenToPointers();
  }

  listenToKeys() {
    const step = () => (this.view ?? this.whole).w / 8;
    const keys = {
      "+": () => this.zoom(1.5), "=": () => this.zoom(1.5), "-": () => this.zoom(1 / 1.5), "0": () => this.setView(0, 0, Infinity),
      ",": () => this.move(-1), ".": () => this.move(1), "PageUp": () => this.move(-1), "PageDown": () => this.move(1),
      "w": () => this.nextWorst(),
    };
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    this.picture.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !this.slide) return;
      const arrow = this.view && arrows[event.key];
      if (!arrow && !keys[event.key]) return;
      event.preventDefault();
      if (arrow) this.pan(arrow[0] * step(), arrow[1] * step());
      else keys[event.key]();
    });
  }

  listenToPointers() {
    const { picture } = this;
    const down = new Map(); // pointers that are down, where they are
    const apart = () => {
      const [a, b] = [...down.values()];
      return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
    };
    picture.addEventListener("wheel", (event) => {
      // The wheel scrolls the page, unless the picture was clicked, or it is a pinch, which comes with Ctrl.
      if (!this.slide || (!event.ctrlKey && document.activeElement !== picture)) return;
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / (event.ctrlKey ? 100 : 300)), this.placeOf(event));
    }, { passive: false });
    picture.addEventListener("dblclick", (event) => this.slide && this.zoom(event.shiftKey ? 0.5 : 2, this.placeOf(event)));
    picture.addEventListener("pointerdown", (event) => {
      down.set(event.pointerId, event);
      picture.setPointerCapture(event.pointerId);
    });
    picture.addEventListener("pointermove", (event) => {
      const before = down.get(event.pointerId);
      if (!before || !this.slide) return;
      if (down.size === 1) {
        const [fromX, fromY] = this.placeOf(before);
        const [toX, toY] = this.placeOf(event);
        if (this.view) this.pan(fromX - toX, fromY - toY);
        down.set(event.pointerId, event);
      } else if (down.size === 2) {
        const distance = apart();
        down.set(event.pointerId, event);
        const [a, b] = [...down.values()];
        const middle = { clientX: (a.clientX + b.clientX) / 2, clientY: (a.clientY + b.clientY) / 2 };
        this.zoom(apart() / Math.max(1, distance), this.placeOf(middle));
      }
    });
    for (const kind of ["pointerup", "pointercancel"]) {
      picture.addEventListener(kind, (event) => down.delete(event.pointerId));
    }
  }
}

for (const root of document.querySelectorAll(".viewer")) new Viewer(root);
