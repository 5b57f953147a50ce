/* The page book/live: two sets of pictures, a strip of scores, and a worker that does what the notebook does.
 *
 * The detector (weights, kernels, worker) arrives as a classic script after a click, and the worker starts from a
 * text in it: from a folder (file://) a browser lets a page load nothing else.
 */
"use strict";
(() => {
  const root = document.querySelector("#live-app");
  if (!root) return;
  const { words, element } = live;
  const here = document.currentScript.src.replace(/[^/]*$/, "");
  const sizes = JSON.parse(root.dataset.sizes); // megabytes of what a click loads
  /* A picture: {id, room: "good" or "test", name, file, canvas, width, height, image_score, anomaly_map,
   * truth: "", "good" or "defective", box, card}. */
  const pictures = [];
  const of = (room) => pictures.filter((picture) => picture.room === room);
  let [ask, moved, number, queue, cancels, fit] = [null, null, 0, Promise.resolve(), 0, "crop"];
  let [scale, waitingToRate] = [null, false];

  /* --- the worker ----------------------------------------------------------------------------- */

  const loadScript = (name) => new Promise((done, failed) => {
    const script = element("script", { src: here + name, onload: done, onerror: () => failed(new Error(name)) });
    document.head.append(script);
  });
  const bytes = (text) => {
    const letters = atob(text);
    const values = new Uint8Array(letters.length);
    for (let i = 0; i < values.length; i++) values[i] = letters.charCodeAt(i);
    return values;
  };

  async function start() {
    if (ask) return;
    say(words.loading);
    await loadScript("detector.js");
    const { source, wasm, facts, weights } = live.detector;
    const worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
    const waiting = new Map();
    let count = 0;
    worker.onmessage = ({ data }) => {
      const { done, failed } = waiting.get(data.number);
      waiting.delete(data.number);
      if (data.error) failed(new Error(data.error));
      else done(data.answer);
    };
    const question = (name, details = {}) => new Promise((done, failed) => {
      waiting.set(++count, { done, failed });
      const given = [details.weights, details.pixels?.buffer].filter(Boolean); // handed over, not copied
      worker.postMessage({ number: count, question: name, ...details }, given);
    });
    await question("start", { wasm: bytes(wasm), facts, weights: bytes(weights).buffer });
    delete live.detector; // two megabytes of text that are needed no more
    ask = question;
  }

  /* --- what is on the page --------------------------------------------------------------------- */

  const status = element("p", { className: "live-status", role: "status" });
  const say = (text) => { status.textContent = text; };
  const progress = element("progress", { max: 1 });
  const doing = element("span");
  const stop = element("button", { type: "button", onclick: () => { cancels++; } }, words.cancel);
  const bar = element("div", { className: "live-bar", hidden: true }, element("label", {}, doing, progress), stop);
  const leftOut = element("ul");
  const leftOutBox = element("div", { className: "live-left-out", hidden: true },
    element("p", {}, element("strong", {}, words.leftOut)), leftOut);
  const heat = element("input", { type: "checkbox", checked: true, onchange: () => draw() });
  const chosenFit = (value, text) => element("label", {}, element("input", {
    type: "radio", name: "live-fit", value, checked: value === fit, onchange: () => { fit = value; again(); } }), ` ${text}`);
  const notes = element("ul", { className: "live-notes" });
  const work = element("div", { hidden: true });
  const rooms = Object.fromEntries(["good", "test"].map((room) => [room, makeRoom(room)]));
  const strip = makeStrip();
  const samplesButton = element("button", { type: "button", className: "live-main", onclick: () => begin(true) }, words.samples);
  const ownButton = element("button", { type: "button", className: "live-main", onclick: () => begin(false) }, words.own);

  rooms.test.box.append(strip.summary);
  work.append(rooms.good.box, strip.box, rooms.test.box);
  root.replaceChildren(
    element("div", { className: "live-row" }, samplesButton, ownButton),
    element("p", { className: "live-small" }, words.size(sizes.detector, sizes.samples)),
    element("div", { className: "live-news" }, status, bar), leftOutBox, work);

  function makeRoom(room) {
    const good = room === "good";
    const input = element("input", {
      type: "file", accept: "image/*,.heic,.heif,.tif,.tiff", multiple: true, id: `live-${room}`, className: "live-file",
      "aria-label": good ? words.chooseGood : words.chooseTest,
      onchange: () => { add([...input.files], room); input.value = ""; } });
    const drop = element("label", { className: "live-drop", htmlFor: input.id },
      element("span", { className: "live-choose" }, words.choose), element("span", {}, words.drop));
    const list = element("ul", { className: `live-cards live-cards-${room}`, "aria-label": good ? words.good : words.test });
    if (good) list.tabIndex = 0; // it scrolls
    const clear = element("button", { type: "button", hidden: true, onclick: () => of(room).forEach(takeOut) },
      good ? words.clearGood : words.clearTest);
    const box = element("section", { className: "live-room", "aria-label": good ? words.good : words.test },
      element("h3", {}, good ? words.good : words.test),
      element("p", {}, good ? words.goodHint : words.testHint), input, drop);
    if (good) box.append(element("fieldset", { className: "live-fit" }, element("legend", {}, words.notSquare),
      chosenFit("crop", words.crop), chosenFit("pad", words.pad)), notes);
    else box.append(element("div", { className: "live-row" }, element("label", {}, heat, ` ${words.heat}`)));
    box.append(list, clear);
    box.ondragover = (event) => { event.preventDefault(); box.classList.add("live-over"); };
    box.ondragleave = (event) => { if (!box.contains(event.relatedTarget)) box.classList.remove("live-over"); };
    box.ondrop = (event) => {
      event.preventDefault();
      box.classList.remove("live-over");
      add([...event.dataTransfer.files], room);
    };
    return { box, list, clear, input };
  }

  // A file dropped beside the rooms would take the place of the page, and of all that is on it.
  for (const name of ["dragover", "drop"])
    document.addEventListener(name, (event) => { if (!work.hidden) event.preventDefault(); });

  // What is pasted goes where the reader is: to the room that holds focus or pointer, else to the good pictures.
  document.addEventListener("paste", (event) => {
    if (work.hidden) return;
    const named = (file) => new File([file], words.pasted(++number), { type: file.type });
    const files = [...event.clipboardData.files].map(named);
    if (!files.length) return;
    event.preventDefault();
    add(files, rooms.test.box.matches(":hover, :focus-within") ? "test" : "good");
  });

  /* --- a card for each picture ------------------------------------------------------------------- */

  function makeCard(picture) {
    const good = picture.room === "good";
    const { name } = picture;
    const view = picture.canvas;
    view.setAttribute("role", "img");
    const over = element("canvas", { width: live.SIDE, height: live.SIDE, "aria-hidden": "true" }); // map and box
    const score = element("strong");
    const verdict = element("span", { className: "live-verdict" });
    const truth = element("select", { "aria-label": words.truthName(name), onchange: () => {
      picture.truth = truth.value;
      if (picture.truth !== "defective") picture.box = null;
      draw();
    } });
    for (const [value, text] of [["", words.unknown], ["good", words.isGood], ["defective", words.isDefective]])
      truth.append(element("option", { value }, text));
    const edit = element("button", { type: "button", onclick: () => (good ? paint(picture) : box(picture)) });
    const remove = element("button", { type: "button", "aria-label": words.removeName(name), onclick: () => {
      const next = (card.nextElementSibling ?? card.previousElementSibling)?.querySelector(".live-remove");
      takeOut(picture);
      (next ?? rooms[picture.room].input).focus();
    }, className: "live-remove" }, words.remove);
    const card = element("li", { className: "live-card" },
      element("div", { className: "live-frame" }, view, over),
      element("div", { className: "live-name", title: `${name}, ${picture.width} × ${picture.height}` }, name),
      element("div", {}, `${good ? words.heldOut : words.score} `, score), verdict,
      good ? null : element("label", { className: "live-truth" }, `${words.truth} `, truth),
      element("div", { className: "live-buttons" }, edit, remove));
    return { card, view, over, score, verdict, truth, edit };
  }

  /** Bring everything on the page up to date with the pictures. */
  function draw() {
    const [good, test] = [of("good"), of("test")];
    const scored = good.filter((picture) => picture.image_score !== undefined);
    const proposed = scored.length ? live.thresholdFromNormals(scored.map((picture) => picture.image_score)) : null;
    const threshold = moved ?? proposed?.threshold;
    const apart = new Set(scored.filter((_, i) => live.standingOut(scored.map((picture) => picture.image_score))[i]));
    // Colours begin a little below what half of the good pictures reach, so that these stay nearly bare.
    const peaks = scored.map((picture) => picture.peak).sort((a, b) => a - b);
    const typical = peaks[Math.floor(peaks.length / 2)];
    scale = proposed ? [0.8 * typical, 1.7 * typical] : null;

    good.sort((a, b) => (b.image_score ?? 0) - (a.image_score ?? 0));
    for (const [room, list] of Object.entries({ good, test })) {
      const cards = list.map((picture) => picture.card.card);
      const shown = [...rooms[room].list.children];
      if (cards.length !== shown.length || cards.some((card, i) => card !== shown[i])) // else the focus would be lost
        rooms[room].list.replaceChildren(...cards);
      rooms[room].clear.hidden = list.length === 0;
    }
    for (const picture of pictures) {
      const { view, over, score, verdict, truth, edit, card } = picture.card;
      const { image_score, anomaly_map, name, room } = picture;
      const above = image_score > threshold;
      score.textContent = image_score === undefined ? "–" : image_score.toFixed(1);
      if (room === "good") verdict.textContent = apart.has(picture) ? `▲ ${words.standsOut}` : "";
      else if (!proposed || image_score === undefined) verdict.textContent = words.noVerdict;
      else verdict.textContent = above ? words.above : words.below;
      card.classList.toggle("live-above", room === "test" ? above : apart.has(picture));
      view.setAttribute("aria-label", words.imageOf(name, `${words.score} ${score.textContent}. ${verdict.textContent}`));
      truth.value = picture.truth;
      edit.hidden = room === "good" && image_score === undefined;
      edit.textContent = room === "good" ? words.paint : picture.box ? words.boxed : words.box;
      edit.setAttribute("aria-label", (room === "good" ? words.paintName : words.boxName)(name));
      const drawn = [heat.checked && scale && anomaly_map, scale?.[0], picture.box];
      if (drawn.some((what, i) => what !== picture.drawn?.[i])) {
        picture.drawn = drawn;
        over.getContext("2d").clearRect(0, 0, live.SIDE, live.SIDE);
        if (drawn[0]) live.drawMap(over, anomaly_map, ...scale);
        live.outline(over, picture.box);
      }
    }
    const odd = pictures.filter((picture) => picture.width !== picture.height).length;
    notes.replaceChildren(...[
      good.length === 1 && words.one,
      good.length > 1 && good.length < 10 && words.few(good.length),
      odd > 0 && (fit === "crop" ? words.cropped : words.padded)(odd),
      scored.length > 1 && words.ranked,
      good.some((picture) => picture.isOdd) && scored.length > 1 && words.oddSample,
    ].filter(Boolean).map((text) => element("li", {}, text)));
    strip.show(scored, test.filter((picture) => picture.image_score !== undefined), proposed, threshold);
  }
  /* --- reading and scoring ------------------------------------------------------------------------ */

  async function begin(withSamples) {
    samplesButton.disabled = ownButton.disabled = true;
    try {
      await start();
    } catch (error) {
      say(words.failed(error.message));
      samplesButton.disabled = ownButton.disabled = false;
      return;
    }
    work.hidden = false;
    say(words.ready);
    ownButton.hidden = true;
    samplesButton.disabled = false;
    draw();
    rooms.good.input.focus({ preventScroll: true }); // the button that had the focus may be gone
    if (!withSamples) return;
    samplesButton.hidden = true;
    if (!live.samples) await loadScript("samples.js");
    const files = (room) => live.samples[room].map((text, i) => {
      const file = new File([bytes(text)], `${room} ${String(i + 1).padStart(2, "0")}.jpg`, { type: "image/jpeg" });
      return Object.assign(file, { isOdd: room === "good" && i === live.samples.odd });
    });
    add(files("good"), "good");
    add(files("test"), "test");
  }

  /** Jobs run one after the other; one that fails says so and does not stop the next. */
  const enqueue = (job) => { queue = queue.then(job).catch((error) => say(String(error))); };

  /** Read files one after the other, then score what they change. */
  function add(files, room) {
    const asked = cancels;
    enqueue(async () => {
      const began = performance.now();
      leftOut.replaceChildren();
      let count = 0;
      const left = await each(files, words.reading, async (file) => {
        try {
          const { name, isOdd } = file;
          const picture = { id: ++number, room, file, name, isOdd, truth: "", box: null, ...(await live.readPicture(file, fit)) };
          await ask(room, { id: picture.id, pixels: live.pixels(picture.canvas) });
          picture.card = makeCard(picture);
          pictures.push(picture);
          count++;
          if (room === "test") await rate(picture);
          draw();
        } catch (why) {
          leftOut.append(element("li", {}, element("strong", {}, file.name), `: ${words.reasons[why] ?? why}`));
        }
      }, asked);
      leftOutBox.hidden = leftOut.children.length === 0;
      if (room === "good" && count) await rateAll();
      say(left ? words.cancelled(left) : words.added(count, ((performance.now() - began) / 1000).toFixed(1)));
    });
  }

  /** Do something for each of a list, with progress. With `asked`, the number of cancels when it was asked for, it
   *  ends when one more is heard; returns how many are left. */
  async function each(list, word, act, asked) {
    bar.hidden = false;
    stop.hidden = asked === undefined;
    let done = 0;
    for (const one of list) {
      if (asked !== undefined && cancels !== asked) break;
      doing.textContent = word(done + 1, list.length);
      progress.value = done / list.length;
      await act(one);
      done++;
    }
    bar.hidden = true;
    return list.length - done;
  }

  async function rate(picture) {
    const found = await ask("score", { id: picture.id });
    picture.image_score = found?.image_score;
    picture.anomaly_map = found?.anomaly_map;
    picture.peak = found?.anomaly_map.reduce((most, value) => Math.max(most, value));
  }

  async function rateAll() {
    await each(pictures.slice(), words.scoring, rate);
    draw();
  }

  function takeOut(picture) {
    const at = pictures.indexOf(picture);
    if (at < 0) return;
    pictures.splice(at, 1);
    draw();
    enqueue(async () => {
      await ask("remove", { id: picture.id });
      if (picture.room === "good" && !waitingToRate) {
        // Several taken out in a row are followed by one new scoring.
        waitingToRate = true;
        enqueue(() => { waitingToRate = false; return rateAll(); });
      }
    });
  }

  /** Read all files again, because the way to make them square has changed. */
  function again() {
    enqueue(async () => {
      await each(pictures.filter((picture) => picture.width !== picture.height), words.reading, async (picture) => {
        await live.readPicture(picture.file, fit, picture.canvas);
        picture.box = null;
        await ask(picture.room, { id: picture.id, pixels: live.pixels(picture.canvas) });
      });
      await rateAll();
    });
  }

  const focusAfter = (picture) => () => { draw(); picture.card.edit.focus(); };

  function paint(picture) {
    live.paint({
      name: picture.name, source: picture.canvas, before: picture.image_score, closed: focusAfter(picture),
      look: (canvas) => ask("look", { pixels: live.pixels(canvas), without: picture.id }),
      drawMap: (canvas, map) => live.drawMap(canvas, map, ...scale),
    });
  }

  function box(picture) {
    live.drawBox({
      name: picture.name, source: picture.canvas, box: picture.box, closed: focusAfter(picture),
      changed: (next) => { picture.box = next; if (next) picture.truth = "defective"; },
    });
  }

  /* --- the strip of scores -------------------------------------------------------------------------- */

  function makeStrip() {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("aria-hidden", "true");
    const slider = element("input", { type: "range", min: 0, max: 1000, "aria-label": words.thresholdSlider, oninput: () => {
      moved = low + (slider.valueAsNumber / 1000) * (high - low);
      draw();
    } });
    const value = element("output", { className: "live-value" });
    const [lines, results] = [0, 1].map(() => element("ul", { className: "live-notes" }));
    const reset = element("button", { type: "button", onclick: () => { moved = null; draw(); } }, words.reset);
    const csv = element("button", { type: "button", onclick: save }, words.csv);
    const box = element("section", { className: "live-room", hidden: true, "aria-label": words.threshold },
      element("h3", {}, words.threshold), element("p", {}, words.thresholdHint),
      element("div", { className: "live-strip" }, svg, slider), value, lines, reset);
    const summary = element("div", { hidden: true }, results, csv);
    let [low, high, threshold] = [0, 1, 0];

    function show(good, test, proposed, chosen) {
      box.hidden = good.length < 2;
      summary.hidden = box.hidden || !test.length;
      if (box.hidden) return;
      threshold = chosen;
      const scores = [...good, ...test].map((picture) => picture.image_score);
      const rim = 0.06 * (Math.max(...scores) - Math.min(...scores)) || 1;
      [low, high] = [Math.max(0, Math.min(...scores) - rim), Math.max(...scores) + rim];
      const x = (score) => `${(100 * (score - low)) / (high - low)}%`;
      const mark = (picture, y) => {
        const shape = picture.truth === "defective" ? "rect" : "circle";
        const made = document.createElementNS(svg.namespaceURI, shape);
        const at = x(picture.image_score);
        const place = shape === "circle" ? { cx: at, cy: y, r: 5 } : { x: at, y: y - 5, width: 10, height: 10 };
        for (const [key, value] of Object.entries({ ...place, class: `live-${picture.room}` })) made.setAttribute(key, value);
        return made;
      };
      const lane = (text, y) => {
        const made = document.createElementNS(svg.namespaceURI, "text");
        made.setAttribute("x", 4);
        made.setAttribute("y", y);
        made.textContent = text;
        return made;
      };
      svg.replaceChildren(
        lane(words.laneGood, 14), ...good.map((picture) => mark(picture, 28)),
        lane(words.laneTest, 62), ...test.map((picture) => mark(picture, 76)));
      slider.value = (1000 * (threshold - low)) / (high - low);
      slider.setAttribute("aria-valuetext", threshold.toFixed(1));
      value.textContent = `${words.thresholdSlider} ${threshold.toFixed(1)}`;
      reset.disabled = moved === null;
      const above = (list) => list.filter((picture) => picture.image_score > threshold).length;
      lines.replaceChildren(...[
        words.promise(good.length, (100 * proposed.rate).toFixed(1).replace(".0", "")),
        good.length < 19 && words.fewForFive,
        moved !== null && words.moved(proposed.threshold.toFixed(1)),
        words.counted(above(good), good.length, above(test), test.length),
      ].filter(Boolean).map((text) => element("li", {}, text)));
      results.replaceChildren(...metrics(good, test).map((text) => element("li", {}, text)));
    }

    function metrics(good, test) {
      const scores = (list) => list.map((picture) => picture.image_score);
      const bad = scores(test.filter((picture) => picture.truth === "defective"));
      const fine = scores([...good, ...test.filter((picture) => picture.truth === "good")]);
      if (!bad.length) return [words.noLabels];
      const area = live.auroc(fine, bad);
      const [from, to] = live.aurocInterval(area, fine.length, bad.length);
      const said = [words.auroc(...[area, from, to].map((share) => share.toFixed(2)), bad.length, fine.length)];
      const boxed = test.filter((picture) => picture.box);
      const [inside, outside] = [[], []];
      for (const { anomaly_map, box: { x, y, width, height } } of boxed)
        anomaly_map.forEach((score, i) => {
          const [row, column] = [Math.floor(i / live.SIDE), i % live.SIDE];
          (row >= y && row < y + height && column >= x && column < x + width ? inside : outside).push(score);
        });
      if (boxed.length) said.push(words.pixels(live.auroc(outside, inside).toFixed(3), boxed.length));
      return said;
    }

    /** The table that the notebook writes, with a column for the set and the box. */
    function save() {
      const cell = (text) => `"${String(text).replace(/^[=+@-]/, "'$&").replaceAll('"', '""')}"`;
      const rows = pictures.filter((picture) => picture.image_score !== undefined).map((picture) => [
        cell(picture.name), picture.room, picture.room === "good" ? "good" : picture.truth,
        picture.box ? cell(Object.values(picture.box).join(" ")) : "",
        picture.image_score.toFixed(4), threshold.toFixed(4),
        picture.image_score > threshold ? 1 : 0,
      ].join(","));
      const text = `\ufeff${["path,set,label,box,score,threshold,flagged", ...rows].join("\r\n")}\r\n`; // the mark is for Excel
      const href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
      const link = element("a", { href, download: "patchcore_scores.csv" });
      link.click();
      URL.revokeObjectURL(link.href);
    }
    return { box, summary, show };
  }
})();
