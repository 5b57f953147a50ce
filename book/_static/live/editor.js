/* The dialog in which the reader paints a defect on a good picture, or draws a box around one on a tested picture. */
"use strict";
window.live = window.live ?? {};

/** A new element: element("button", {type: "button", "aria-label": "Close", onclick}, "text", child, …). */
live.element = (name, properties = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made && key !== "role") made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
};

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** A dialog with a picture that can be drawn on; returns its parts. `moved(x, y, phase)` hears the pointer. */
function openDialog(title, hint, canvas, moved, closed) {
  const { element, words } = live;
  const figure = (child, text) => element("figure", {}, child, element("figcaption", {}, text));
  const controls = element("div", { className: "live-row" });
  const pictures = element("div", { className: "live-pair" }, figure(canvas, words.picture));
  const dialog = element("dialog", { className: "live-dialog", "aria-label": title },
    element("h3", {}, title), element("p", {}, hint), controls, pictures,
    element("div", { className: "live-row" },
      element("button", { type: "button", className: "live-main", onclick: () => dialog.close() }, words.close)));
  const place = (event) => {
    const frame = canvas.getBoundingClientRect();
    const [x, y] = [(event.clientX - frame.left) / frame.width, (event.clientY - frame.top) / frame.height];
    return [x * live.SIDE, y * live.SIDE];
  };
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application"); // the arrow keys are its own
  canvas.setAttribute("aria-label", words.picture);
  canvas.onpointerdown = (event) => {
    if (event.button > 0) return;
    canvas.setPointerCapture(event.pointerId);
    moved(...place(event), "begin");
  };
  canvas.onpointermove = (event) => { if (canvas.hasPointerCapture(event.pointerId)) moved(...place(event), "move"); };
  canvas.onpointerup = (event) => moved(...place(event), "end");
  dialog.onkeydown = (event) => { if (event.key === "Escape") dialog.close(); };
  dialog.onclose = () => { dialog.remove(); closed(); };
  document.querySelector("#live-app").append(dialog);
  dialog.showModal();
  canvas.focus();
  return { dialog, controls, pictures, figure };
}

/** Paint on a copy of `source`; `look(canvas)` promises {image_score, anomaly_map} or null. */
live.paint = ({ name, source, before, look, drawMap, closed }) => {
  const { element, words } = live;
  const canvas = element("canvas", { width: live.SIDE, height: live.SIDE, className: "live-drawing" });
  const painted = element("canvas", { width: live.SIDE, height: live.SIDE });
  const map = element("canvas", { width: live.SIDE, height: live.SIDE, role: "img", "aria-label": words.map });
  const size = element("input", { type: "range", min: 1, max: 30, value: 6 });
  const colour = element("input", { type: "color", value: "#101010" });
  const said = element("p", { className: "live-said", role: "status" });
  const [pen, view] = [painted.getContext("2d", { willReadFrequently: true }), canvas.getContext("2d")];
  let [last, cursor, busy, waiting] = [null, null, false, false];

  const show = () => {
    view.drawImage(painted, 0, 0);
    if (!cursor) return;
    for (const [style, width] of [["#fff", 3], ["#000", 1]]) {
      view.strokeStyle = style;
      view.lineWidth = width;
      view.beginPath();
      view.arc(...cursor, size.valueAsNumber / 2 + 2, 0, 7);
      view.stroke();
    }
  };
  const answer = async () => {
    if (busy) { waiting = true; return; }
    busy = true;
    do {
      waiting = false;
      const found = await look(painted);
      if (found) {
        drawMap(map, found.anomaly_map);
        said.textContent = words.paintScore(before.toFixed(1), found.image_score.toFixed(1));
      }
    } while (waiting);
    busy = false;
  };
  const line = (from, to) => {
    Object.assign(pen, { strokeStyle: colour.value, lineWidth: size.valueAsNumber, lineCap: "round" });
    pen.beginPath();
    pen.moveTo(...from);
    pen.lineTo(to[0] + 0.01, to[1]); // a dab is a line too, and one of no length is not drawn everywhere
    pen.stroke();
    show();
    answer();
  };
  const wipe = () => { pen.drawImage(source, 0, 0); show(); answer(); };
  const { controls, pictures, figure } = openDialog(words.painting(name), words.paintHint, canvas, (x, y, phase) => {
    if (phase === "begin") { last = [x, y]; cursor = null; }
    if (last) line(last, [x, y]);
    last = phase === "end" ? null : [x, y];
  }, closed);
  canvas.onkeydown = (event) => {
    const step = event.shiftKey ? 1 : 8;
    cursor ??= [live.SIDE / 2, live.SIDE / 2];
    if (event.key in ARROWS)
      cursor = cursor.map((at, i) => Math.min(live.SIDE, Math.max(0, at + step * ARROWS[event.key][i])));
    else if (event.key === " ") line(cursor, cursor);
    else return;
    event.preventDefault();
    show();
  };
  controls.append(
    element("label", {}, `${words.brush} `, size), element("label", {}, `${words.colour} `, colour),
    element("button", { type: "button", onclick: wipe }, words.wipe), said);
  pictures.append(figure(map, words.map));
  wipe();
};

/** Draw a box on a picture; `changed(box)` hears {x, y, width, height} in pixels of the picture, or null. */
live.drawBox = ({ name, source, box, changed, closed }) => {
  const { element, words } = live;
  const canvas = element("canvas", { width: live.SIDE, height: live.SIDE, className: "live-drawing" });
  let start = null;
  const clamp = (value) => Math.round(Math.min(live.SIDE, Math.max(0, value)));
  const show = () => {
    canvas.getContext("2d").drawImage(source, 0, 0);
    live.outline(canvas, box);
  };
  const set = (next) => {
    box = next;
    show();
    changed(box);
  };
  const { controls } = openDialog(words.boxing(name), words.boxHint, canvas, (x, y, phase) => {
    if (phase === "begin") start = [clamp(x), clamp(y)];
    if (!start) return;
    const [left, right] = [start[0], clamp(x)].sort((a, b) => a - b);
    const [top, bottom] = [start[1], clamp(y)].sort((a, b) => a - b);
    if (right - left >= 3 && bottom - top >= 3) set({ x: left, y: top, width: right - left, height: bottom - top });
    if (phase === "end") start = null;
  }, closed);
  canvas.onkeydown = (event) => {
    if (!(event.key in ARROWS)) return;
    event.preventDefault();
    const [dx, dy] = ARROWS[event.key].map((way) => 4 * way);
    const { x, y, width, height } = box ?? { x: 88, y: 88, width: 48, height: 48 };
    const within = (value, least, most) => Math.min(Math.max(least, value), most);
    set(event.shiftKey
      ? { x, y, width: within(width + dx, 8, live.SIDE - x), height: within(height + dy, 8, live.SIDE - y) }
      : { x: within(x + dx, 0, live.SIDE - width), y: within(y + dy, 0, live.SIDE - height), width, height });
  };
  controls.append(element("button", { type: "button", onclick: () => set(null) }, words.noBox));
  show();
};

live.outline = (canvas, box) => {
  if (!box) return;
  const context = canvas.getContext("2d");
  for (const [style, width] of [["#000", 4], ["#7fdcff", 2]]) {
    context.strokeStyle = style;
    context.lineWidth = width;
    context.strokeRect(box.x, box.y, box.width, box.height);
  }
};
