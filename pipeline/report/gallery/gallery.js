/* The gallery: looks through a split's images before and after ranking. Plain JavaScript for current browsers.

   In a report, everything is in the page: records in #gallery-data, pictures in #gallery-picture-ROW. In `crface view`
   there is neither, and the same questions go to the server that the page came from. What the records mean is said in
   records.py. Names of images and folders only ever become text or attribute values. */
"use strict";
(() => {
  const app = document.getElementById("gallery-app");
  if (!app) return;
  const at = (name) => document.getElementById(`gallery-${name}`);
  const SVG = "http://www.w3.org/2000/svg";
  const PAGE = 24; // pictures in the strip at a time
  const MAX_ZOOM = 16;
  // from the least confident to the most: told apart in grey too, and bright enough for dark photographs
  const RAMP = [[91, 124, 250], [47, 181, 208], [95, 211, 141], [201, 227, 74], [255, 210, 31]];
  const FINDS = 1;
  const [LINE_FOUND, LINE_FALSE, LINE_FAILURES, LINE_SIZES] = [2, 4, 6, 7];

  /* ---- where the records come from ---- */

  function fromPage(data) {
    const picture = (row) => at(`picture-${row}`).getAttribute("href");
    return {
      shared: data,
      survey: (detector) => Promise.resolve(data.detectors[detector]),
      record: (detector, row) => Promise.resolve(data.detectors[detector].images[row]),
      picture,
      small: picture,
    };
  }

  async function fromServer() {
    const ask = async (address) => {
      const answer = await fetch(address);
      if (!answer.ok) throw new Error(await answer.text());
      return answer.json();
    };
    return {
      shared: await ask("split.json"),
      survey: (detector) => ask(`detector/${detector}/survey.json`),
      record: (detector, row) => ask(`detector/${detector}/image/${row}.json`),
      picture: (row) => `picture/${row}.jpg`,
      small: (row) => `small/${row}.jpg`,
    };
  }

  /* ---- what is shown ---- */

  let source;
  const images = new Map(); // row -> {path, event, width, height}
  const state = {
    detector: 0,
    survey: null, // {steps, start, lines: Map}; null while it is being made
    step: 0,
    rows: [], // those that pass the filters, in order
    place: 0, // in rows
    record: null,
    box: -1, // the chosen one; -1 for none
    zoom: 1,
    centre: [0, 0],
  };
  const sides = ["before", "after"];

  const row = () => state.rows[state.place];
  const detector = () => source.shared.detectors[state.detector];
  const shownSides = () => sides.filter((side) => detector()[side]);
  const line = (number) => state.survey?.lines.get(number);
  const changeOf = (one) => (one ? one[LINE_FOUND + 1] - one[LINE_FALSE + 1] - one[LINE_FOUND] + one[LINE_FALSE] : 0);
  const isChanged = (one) => one && (one[LINE_FOUND] !== one[LINE_FOUND + 1] || one[LINE_FALSE] !== one[LINE_FALSE + 1]);
  const signed = (number) => (number > 0 ? `+${number}` : `${number}`).replace("-", "\u2212");

  function threshold(side) {
    return state.survey ? state.survey.steps[state.step][side === "before" ? 1 : 2] : -Infinity;
  }

  function scoreOf(box, side) {
    if (side === "before") return box[4];
    return detector().after === "ranked" ? box[5] : box[6];
  }

  const outcomeOf = (box, side) => box[side === "before" ? 7 : 8];
  const isShown = (box, side) => outcomeOf(box, side) >= 0 && scoreOf(box, side) >= threshold(side);

  /* Where a score stands among the split's: 1 for the most confident, 0 for the least that the slider shows. */
  function standing(score, side) {
    if (!state.survey) return 1;
    const column = side === "before" ? 1 : 2;
    const steps = state.survey.steps;
    const place = steps.findIndex((step) => score >= step[column]);
    return place < 0 ? 0 : 1 - place / Math.max(1, steps.length - 1);
  }

  function colour(share) {
    const place = share * (RAMP.length - 1);
    const low = Math.min(Math.floor(place), RAMP.length - 2);
    const mixed = RAMP[low].map((value, i) => Math.round(value + (RAMP[low + 1][i] - value) * (place - low)));
    return `rgb(${mixed.join(",")})`;
  }

  /* ---- the list ---- */

  function filtered() {
    const [order, size, failure, event] = ["order", "size", "failure", "event"].map((name) => at(name).value);
    const passes = (number) => {
      const one = line(number);
      if (event && images.get(number).event !== event) return false;
      if (!state.survey) return true;
      if (order !== "number" && !isChanged(one)) return false;
      if (size && !(one && one[LINE_SIZES] & (1 << Number(size)))) return false;
      return !(failure && !(one && one[LINE_FAILURES] & (1 << Number(failure))));
    };
    const rows = [...images.keys()].filter(passes);
    const sign = { helped: -1, hurt: 1, number: 0 }[order];
    if (state.survey && sign) rows.sort((a, b) => sign * (changeOf(line(a)) - changeOf(line(b))) || a - b);
    return rows;
  }

  function refilter() {
    const before = row();
    state.rows = filtered();
    state.place = Math.max(0, state.rows.indexOf(before));
    const [number, all] = [state.rows.length, images.size];
    at("count").textContent = state.survey
      ? `${number} of ${all} images`
      : `${number} of ${all} images. Reading them all: order, filters and slider follow.`;
    drawStrip();
    open();
  }

  function drawStrip() {
    const first = Math.floor(state.place / PAGE) * PAGE;
    const part = state.rows.slice(first, first + PAGE);
    at("list").replaceChildren(...part.map((number, i) => thumbnail(number, first + i)));
    at("earlier").disabled = first === 0;
    at("later").disabled = first + PAGE >= state.rows.length;
    at("range").textContent = part.length ? `${first + 1} to ${first + part.length}` : "none";
  }

  function thumbnail(number, place) {
    const item = document.createElement("li");
    const button = document.createElement("button");
    const picture = document.createElement("img");
    const words = document.createElement("span");
    const one = line(number);
    button.type = "button";
    button.title = images.get(number).path;
    picture.src = source.small(number);
    picture.alt = "";
    picture.loading = "lazy";
    words.textContent = isChanged(one) ? `${signed(changeOf(one))}` : `row ${number}`;
    button.setAttribute("aria-label", `${images.get(number).path}${isChanged(one) ? `, ${changeWords(one)}` : ""}`);
    if (place === state.place) button.setAttribute("aria-current", "true");
    button.append(picture, words);
    button.addEventListener("click", () => go(place));
    item.append(button);
    return item;
  }

  const changeWords = (one) => `change ${signed(changeOf(one))}`;

  /* ---- one image ---- */

  function go(place) {
    if (!state.rows.length) return;
    const page = Math.floor(state.place / PAGE);
    state.place = Math.max(0, Math.min(place, state.rows.length - 1));
    if (Math.floor(state.place / PAGE) !== page) drawStrip();
    open();
  }

  async function open() {
    const number = row();
    const chosen = state.detector;
    at("list").querySelector("[aria-current]")?.removeAttribute("aria-current");
    at("list").children[state.place % PAGE]?.querySelector("button").setAttribute("aria-current", "true");
    at("previous").disabled = state.place === 0;
    at("next").disabled = state.place >= state.rows.length - 1;
    at("stage").classList.toggle("empty", number === undefined);
    state.record = null;
    state.box = -1;
    if (number === undefined) {
      at("title").textContent = "No image passes these filters";
      at("position").textContent = "";
      draw();
      return;
    }
    const { path, width, height } = images.get(number);
    at("title").textContent = path;
    at("position").textContent = `${state.place + 1} of ${state.rows.length}, ${width} \u00d7 ${height} px`;
    resetZoom();
    draw(); // the picture, without the boxes of the one before
    let complaint = "";
    const record = await source.record(chosen, number).catch((error) => {
      complaint = error.message;
      return null;
    });
    if (number !== row() || chosen !== state.detector) return; // the reader has gone on meanwhile
    state.record = record;
    draw();
    if (!record) at("box").textContent = complaint || "Nothing is stored for this image.";
  }

  function draw() {
    for (const side of sides) drawSide(side);
    drawSlider();
    say();
  }

  function drawSide(side) {
    const canvas = at(side);
    at(`${side}-figure`).hidden = !detector()[side];
    canvas.replaceChildren();
    at(`${side}-words`).textContent = detector()[side];
    if (row() === undefined || !detector()[side]) return;
    const { path, width, height } = images.get(row());
    const picture = element("image", { width, height, href: source.picture(row()) });
    canvas.append(picture);
    canvas.style.aspectRatio = `${width} / ${height}`;
    canvas.setAttribute("viewBox", viewBox());
    canvas.setAttribute("aria-label", `${path}, ${detector()[side]} confidence`);
    if (!state.record) return;
    if (at("truth").checked) canvas.append(...state.record.faces.map((face) => drawnFace(face, side)));
    const places = state.record.boxes.map((_, place) => place).filter((place) => isShown(state.record.boxes[place], side));
    // the smallest last, so that no box lies unreachable under a larger one
    places.sort((a, b) => area(state.record.boxes[b]) - area(state.record.boxes[a]));
    canvas.append(...places.map((place) => drawnBox(place, side)));
    at(`${side}-words`).textContent = `${detector()[side]}: ${countWords(places, side)}`;
  }

  function countWords(places, side) {
    const outcomes = places.map((place) => outcomeOf(state.record.boxes[place], side));
    const faces = state.record.faces.filter((face) => face[4]).length;
    if (outcomes.some((outcome) => outcome === 5) || !source.shared.isLabelled) return `${places.length} boxes`;
    const found = outcomes.filter((outcome) => outcome === FINDS).length;
    const wrong = outcomes.filter((outcome) => outcome > FINDS).length;
    return `${found} of ${faces} faces found, ${wrong} false`;
  }

  const area = (box) => (box[2] - box[0]) * (box[3] - box[1]);

  function element(name, attributes) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  function rectangle(xyxy, kind) {
    const [x1, y1, x2, y2] = xyxy;
    const size = { x: x1, y: y1, width: Math.max(0, x2 - x1), height: Math.max(0, y2 - y1) };
    return element("rect", { ...size, class: kind });
  }

  function drawnBox(place, side) {
    const box = state.record.boxes[place];
    const outcome = outcomeOf(box, side);
    const kind = outcome === 0 ? "ignored" : outcome === FINDS || outcome === 5 ? "right" : "wrong";
    const group = element("g", { class: `box ${kind}`, "data-box": place });
    const drawn = rectangle(box, "line");
    drawn.style.stroke = colour(standing(scoreOf(box, side), side));
    group.append(rectangle(box, "halo"), drawn);
    group.classList.toggle("chosen", place === state.box);
    return group;
  }

  function drawnFace(face, side) {
    const score = face[side === "before" ? 5 : 6];
    const isFound = score !== null && score >= threshold(side);
    const group = element("g", { class: `face ${face[4] ? (isFound ? "found" : "missed") : "uncounted"}` });
    group.append(rectangle(face, "halo"), rectangle(face, "line"));
    return group;
  }

  /* ---- the box that is looked at ---- */

  const shownBoxes = () =>
    (state.record?.boxes ?? [])
      .map((_, place) => place)
      .filter((place) => shownSides().some((side) => isShown(state.record.boxes[place], side)))
      .sort((a, b) => best(b) - best(a) || a - b);
  const best = (place) =>
    Math.max(...shownSides().map((side) => {
      const box = state.record.boxes[place];
      return outcomeOf(box, side) >= 0 ? standing(scoreOf(box, side), side) : -1;
    }));

  function choose(place) {
    state.box = place;
    for (const group of at("sides").querySelectorAll("[data-box]")) {
      group.classList.toggle("chosen", Number(group.dataset.box) === place);
    }
    say();
    placeTip();
  }

  function chooseNext(by) {
    const places = shownBoxes();
    if (!places.length) return;
    const now = places.indexOf(state.box);
    const next = now < 0 ? (by > 0 ? 0 : places.length - 1) : (now + by + places.length) % places.length;
    choose(places[next]);
  }

  const decimal = (value) => (value === null || value === undefined ? "none" : value.toFixed(3));

  function boxWords(box) {
    const refined = box[5] === null ? "" : `refined ${decimal(box[5])}, `;
    return `predicted ${decimal(box[4])}, ${refined}oracle ${decimal(box[6])}`;
  }

  function fateWords(box, side) {
    const outcome = outcomeOf(box, side);
    if (outcome < 0) return "suppressed by a better box";
    return isShown(box, side) ? source.shared.outcomes[outcome] : "below the threshold";
  }

  function say() {
    const box = state.record?.boxes[state.box];
    if (!box) {
      const rest = state.record?.leftOut ? ` The ${state.record.leftOut} least confident boxes are left out.` : "";
      at("box").textContent = `Point at a box, or tap it, for its confidences.${rest}`;
      placeTip();
      return;
    }
    const places = shownBoxes();
    const fates = shownSides().map((side) => `${detector()[side]}: ${fateWords(box, side)}`);
    at("box").textContent =
      `Box ${places.indexOf(state.box) + 1} of ${places.length}: ${boxWords(box)}. ${fates.join("; ")}.`;
  }

  function placeTip() {
    for (const side of sides) {
      const tip = at(`${side}-tip`);
      const box = state.record?.boxes[state.box];
      tip.hidden = !box || !isShown(box, side);
      if (tip.hidden) continue;
      const [figure, frame, drawn] = [
        at(`${side}-figure`),
        at(side),
        at(side).querySelector(`[data-box="${state.box}"] .line`),
      ].map((one) => one.getBoundingClientRect());
      tip.textContent = boxWords(box);
      const below = drawn.bottom + 6;
      const above = Math.max(frame.top, drawn.top - tip.offsetHeight - 6);
      const top = below + tip.offsetHeight <= frame.bottom ? below : above;
      const left = Math.max(frame.left, Math.min(drawn.left, frame.right - tip.offsetWidth));
      tip.style.left = `${left - figure.left}px`;
      tip.style.top = `${top - figure.top}px`;
      // a box that the zoom has moved out of the frame
      tip.hidden = drawn.right < frame.left || drawn.left > frame.right || below < frame.top || drawn.top > frame.bottom;
    }
  }

  /* ---- the slider ---- */

  function drawSlider() {
    const slider = at("threshold");
    slider.disabled = !state.survey;
    if (!state.survey) {
      at("share").textContent = "all";
      return;
    }
    slider.max = state.survey.steps.length - 1;
    slider.value = state.step;
    const unit = source.shared.isLabelled ? "face" : "image";
    const limits = shownSides().map((side) => `${detector()[side]} at least ${decimal(threshold(side))}`);
    const words = `${state.survey.steps[state.step][0]} for each ${unit} of the split: ${limits.join(", ")}`;
    at("share").textContent = words;
    slider.setAttribute("aria-valuetext", words);
  }

  function setStep(step) {
    if (!state.survey) return;
    state.step = Math.max(0, Math.min(step, state.survey.steps.length - 1));
    draw();
    if (state.box >= 0 && !shownBoxes().includes(state.box)) choose(-1);
    placeTip();
  }

  /* ---- zoom ---- */

  function viewBox() {
    const { width, height } = images.get(row());
    const [w, h] = [width / state.zoom, height / state.zoom];
    const [x, y] = state.centre;
    return `${x - w / 2} ${y - h / 2} ${w} ${h}`;
  }

  function zoomTo(zoom, centre = state.centre) {
    if (row() === undefined) return;
    const { width, height } = images.get(row());
    state.zoom = Math.max(1, Math.min(zoom, MAX_ZOOM));
    const inside = (value, whole) => {
      const half = whole / state.zoom / 2;
      return Math.max(half, Math.min(value, whole - half));
    };
    state.centre = [inside(centre[0], width), inside(centre[1], height)];
    for (const side of sides) at(side).setAttribute("viewBox", viewBox());
    at("sides").classList.toggle("zoomed", state.zoom > 1);
    at("zoom").textContent = `${Math.round(state.zoom * 100)} %`;
    placeTip();
  }

  function resetZoom() {
    const { width, height } = images.get(row());
    zoomTo(1, [width / 2, height / 2]);
  }

  /* Into a chosen box, if there is one: that is what the reader wants to see. */
  function zoomBy(factor) {
    const box = state.record?.boxes[state.box];
    zoomTo(state.zoom * factor, box && factor > 1 ? [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2] : state.centre);
  }

  function pan(dx, dy) {
    const { width, height } = images.get(row());
    const step = 0.2 / state.zoom;
    zoomTo(state.zoom, [state.centre[0] + dx * step * width, state.centre[1] + dy * step * height]);
  }

  function pointIn(canvas, event) {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(canvas.getScreenCTM().inverse());
    return [point.x, point.y];
  }

  function watch(canvas) {
    let held = null; // where in the image the pointer took hold
    let isDragged = false;
    canvas.addEventListener("pointerdown", (event) => {
      held = state.zoom > 1 ? pointIn(canvas, event) : null;
      isDragged = false;
    });
    canvas.addEventListener("pointermove", (event) => {
      if (held && event.buttons) {
        const [x, y] = pointIn(canvas, event);
        isDragged ||= Math.hypot(x - held[0], y - held[1]) * state.zoom > 4;
        if (isDragged) zoomTo(state.zoom, [state.centre[0] + held[0] - x, state.centre[1] + held[1] - y]);
      } else if (event.pointerType === "mouse") {
        const group = event.target.closest("[data-box]");
        if (group && Number(group.dataset.box) !== state.box) choose(Number(group.dataset.box));
      }
    });
    canvas.addEventListener("click", (event) => {
      if (isDragged) return;
      const group = event.target.closest("[data-box]");
      choose(group ? Number(group.dataset.box) : -1);
    });
    canvas.addEventListener("dblclick", (event) => zoomTo(state.zoom * 2, pointIn(canvas, event)));
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return; // without it, the page scrolls
      event.preventDefault();
      zoomTo(state.zoom * (event.deltaY < 0 ? 1.25 : 0.8), state.centre);
    }, { passive: false });
  }

  /* ---- keys ---- */

  const keys = {
    ArrowLeft: () => go(state.place - 1),
    ArrowRight: () => go(state.place + 1),
    Home: () => go(0),
    End: () => go(state.rows.length - 1),
    ArrowUp: () => chooseNext(-1),
    ArrowDown: () => chooseNext(1),
    "+": () => zoomBy(1.5),
    "=": () => zoomBy(1.5),
    "-": () => zoomBy(1 / 1.5),
    0: () => resetZoom(),
    "[": () => setStep(state.step - 1),
    "]": () => setStep(state.step + 1),
    g: () => {
      if (at("truth").disabled) return;
      at("truth").checked = !at("truth").checked;
      draw();
    },
    Escape: () => (state.box >= 0 ? choose(-1) : resetZoom()),
  };
  const panning = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  function onKey(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches("input, select")) return;
    const act = event.shiftKey && panning[event.key] ? () => pan(...panning[event.key]) : keys[event.key];
    if (!act || row() === undefined) return;
    event.preventDefault();
    act();
  }

  /* ---- beginning ---- */

  function option(value, words) {
    const made = document.createElement("option");
    made.value = value;
    made.textContent = words;
    return made;
  }

  function fill(name, first, words) {
    at(name).append(option("", first), ...words.map((one, i) => option(`${i}`, one)));
  }

  async function useDetector(number) {
    const isFirst = !state.rows.length;
    state.detector = number;
    state.survey = null;
    for (const name of ["order", "size", "failure"]) at(name).disabled = true;
    refilter();
    let found;
    try {
      found = await source.survey(number);
    } catch (error) {
      if (number === state.detector) at("count").textContent = error.message;
      return;
    }
    if (number !== state.detector) return;
    state.survey = { ...found, lines: new Map(found.lines.map((one) => [one[0], one])) };
    state.step = found.start;
    for (const name of ["order", "size", "failure"]) at(name).disabled = !source.shared.isLabelled;
    if (!source.shared.isLabelled || !detector().after) at("order").value = "number";
    if (isFirst && state.place === 0) state.rows = []; // begin with the first of the order, not with the lowest row
    refilter();
  }

  function listen() {
    at("detector").addEventListener("change", () => useDetector(Number(at("detector").value)));
    for (const name of ["order", "size", "failure", "event"]) {
      at(name).addEventListener("change", () => {
        refilter();
        go(0);
      });
    }
    at("threshold").addEventListener("input", () => setStep(Number(at("threshold").value)));
    at("truth").addEventListener("change", draw);
    const buttons = {
      previous: keys.ArrowLeft,
      next: keys.ArrowRight,
      earlier: () => go((Math.floor(state.place / PAGE) - 1) * PAGE),
      later: () => go((Math.floor(state.place / PAGE) + 1) * PAGE),
      "box-previous": keys.ArrowUp,
      "box-next": keys.ArrowDown,
      in: keys["+"],
      out: keys["-"],
      whole: keys[0],
    };
    for (const [name, act] of Object.entries(buttons)) at(name).addEventListener("click", () => row() !== undefined && act());
    at("stage").addEventListener("keydown", onKey);
    for (const side of sides) watch(at(side));
    window.addEventListener("resize", placeTip);
  }

  async function begin() {
    const data = at("data");
    source = data ? fromPage(JSON.parse(data.textContent)) : await fromServer();
    const { names, detectors, sizes, failures } = source.shared;
    for (const [number, path, width, height] of names) {
      images.set(number, { path, width, height, event: path.includes("/") ? path.slice(0, path.indexOf("/")) : "" });
    }
    at("detector").append(...detectors.map((one, i) => option(`${i}`, one.name)));
    fill("size", "of any size", sizes);
    fill("failure", "any or none", failures);
    const events = [...new Set([...images.values()].map((one) => one.event))].filter(Boolean).sort();
    at("event").append(option("", "all"), ...events.map((one) => option(one, one)));
    at("ramp").style.background = `linear-gradient(to right, ${RAMP.map((_, i) => colour(i / (RAMP.length - 1))).join(", ")})`;
    at("truth").disabled = !source.shared.isLabelled;
    listen();
    document.documentElement.classList.add("gallery-runs"); // the pictures for readers without a script go
    app.hidden = false;
    await useDetector(0);
  }

  begin().catch((error) => {
    app.hidden = true;
    document.documentElement.classList.remove("gallery-runs");
    const words = document.createElement("p");
    words.setAttribute("role", "alert");
    words.textContent = `The gallery cannot be shown: ${error.message}`;
    app.before(words);
  });
})();
