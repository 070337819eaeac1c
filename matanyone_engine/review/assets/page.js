// SPDX-License-Identifier: Apache-2.0
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const byId = (id) => document.getElementById(id);
  const modes = all(".mode").map((button) => button.dataset.mode);
  const strip = all(".strip img").map((img) => [Number(img.dataset.frame), img.src]);
  let frame = data.worst[0];
  let mode = modes.includes("checker") ? "checker" : "alpha";

  function element(name, text, kind) {
    const made = document.createElement(name);
    if (kind) made.className = kind;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  // ------------------------------------------------------------------------------------------ the frame looked at

  function pictureOf(number, which) {
    const card = document.querySelector(`.card[data-frame="${number}"]`);
    const own = card && (card.querySelector(`img.${which}`)?.src || data.pictures[number][which]);
    return own || null;
  }

  function nearest(number) {
    return strip.reduce((best, each) => (Math.abs(each[0] - number) < Math.abs(best[0] - number) ? each : best));
  }

  function showPicture() {
    const own = pictureOf(frame, mode);
    const [near, small] = nearest(frame);
    byId("shown").src = own || small;
    byId("shown").alt = `frame ${own ? frame : near}, ${own ? mode : "small"}`;
    byId("small").hidden = Boolean(own);
    byId("small").textContent =
      near === frame ? "small preview; frames below have large pictures" : `small preview of frame ${near}`;
    all(".mode").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.mode === mode)));
  }

  function grade(confidence) {
    return confidence >= data.good ? "good" : confidence >= data.doubtful ? "warn" : "bad";
  }

  function pill(confidence) {
    return confidence === null
      ? element("span", "-", "pill")
      : element("span", confidence.toFixed(2), `pill ${grade(confidence)}`);
  }

  function percent(value) {
    return `${value < 0.0995 ? (100 * value).toPrecision(2) : Math.round(100 * value)} %`;
  }

  function factsOf(object) {
    const box = element("div", undefined, "object");
    const [confidence, why, flicker, coverage, signals] = object.frames[frame];
    box.append(element("b", object.name), " ", pill(confidence));
    box.append(element("p", origin(object), "hint"));
    const list = element("dl");
    const line = (name, value, low) => {
      const kind = low ? "why" : undefined;
      list.append(element("dt", name, kind), element("dd", value, kind));
    };
    for (const [signal, words] of Object.entries(data.signals))
      if (signals[signal] !== undefined) line(words, percent(signals[signal]), signal === why && confidence < data.good);
    line("flicker", flicker === null ? "-" : percent(flicker));
    line("area", percent(coverage));
    box.append(list);
    if (confidence !== null && confidence < data.good) box.append(element("p", data.why[why] ?? why, "hint"));
    return box;
  }

  /** Which keys a frame comes from. */
  function origin({ keys, life: [first, last] }) {
    if (!keys.length) return "";
    if ((first !== null && frame < first) || (last !== null && frame > last)) return "not to be there";
    if (keys.includes(frame)) return "a key frame, computed from its mask";
    const before = keys.filter((key) => key < frame).pop();
    const after = keys.find((key) => key > frame);
    if (before === undefined) return `run backwards from ${after}`;
    return after === undefined ? `run forwards from ${before}` : `blended from ${before} and ${after}`;
  }

  function showFacts() {
    const now = byId("now");
    now.replaceChildren(element("div", String(frame), "number"), ...data.objects.map(factsOf));
    for (const words of data.warnings[frame] ?? []) now.append(element("p", words, "hint"));
  }

  function showCursor() {
    const first = data.frames[0];
    const span = data.frames[data.frames.length - 1] - first + 1;
    all(".cursor").forEach((cursor) => (cursor.style.left = `${(100 * (frame - first + 0.5)) / span}%`));
    all(".card").forEach((card) => {
      if (Number(card.dataset.frame) === frame) card.setAttribute("aria-current", "true");
      else card.removeAttribute("aria-current");
    });
  }

  function show(number) {
    frame = number;
    showPicture();
    showFacts();
    showCursor();
  }

  /** As many small pictures as have room, spread over the shot. */
  function fitStrip() {
    const images = all(".strip img");
    const box = document.querySelector(".strip").getBoundingClientRect();
    const each = (box.height * images[0].naturalWidth) / images[0].naturalHeight;
    const every = Math.max(1, Math.ceil((images.length * each) / box.width / 1.4));
    images.forEach((image, number) => (image.hidden = number % every !== 0));
  }

  // -------------------------------------------------------------------------------------------------- moving about

  function step(by) {
    const at = data.frames.indexOf(frame) + by;
    show(data.frames[Math.max(0, Math.min(data.frames.length - 1, at))]);
  }

  /** Through the worst frames; from a frame that is none of them, to the worst. */
  function rank(by) {
    const at = data.worst.indexOf(frame);
    const next = at < 0 ? 0 : Math.max(0, Math.min(data.worst.length - 1, at + by));
    show(data.worst[next]);
    document.querySelector(`.card[data-frame="${frame}"]`)?.scrollIntoView({ block: "nearest" });
  }

  function at(plot, event) {
    const box = plot.getBoundingClientRect();
    const first = data.frames[0];
    const span = data.frames[data.frames.length - 1] - first + 1;
    const wanted = first + Math.floor((span * (event.clientX - box.left)) / box.width);
    return data.frames.reduce((best, each) => (Math.abs(each - wanted) < Math.abs(best - wanted) ? each : best));
  }

  function turn() {
    const root = document.documentElement;
    root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
    byId("theme").textContent = root.dataset.theme === "dark" ? "light" : "dark";
  }

  const keys = {
    ArrowLeft: () => step(-1),
    ArrowRight: () => step(1),
    ArrowUp: () => rank(-1),
    ArrowDown: () => rank(1),
    Home: () => show(data.frames[0]),
    End: () => show(data.frames[data.frames.length - 1]),
    t: turn,
    "?": () => byId("keys").showModal(),
  };
  modes.forEach((name) => {
    const number = { plate: "1", alpha: "2", checker: "3", colour: "4" }[name];
    keys[number] = () => {
      mode = name;
      showPicture();
    };
  });

  document.addEventListener("keydown", (event) => {
    const act = keys[event.key] ?? keys[event.key.toLowerCase()];
    if (!act || event.ctrlKey || event.metaKey || event.altKey || byId("keys").open) return;
    event.preventDefault();
    act();
  });
  all(".card, .jump").forEach((button) =>
    button.addEventListener("click", () => {
      show(Number(button.dataset.frame));
      document.querySelector(".viewer").scrollIntoView({ block: "nearest" });
    }),
  );
  all(".mode").forEach((button) =>
    button.addEventListener("click", () => {
      mode = button.dataset.mode;
      showPicture();
    }),
  );
  all(".plot").forEach((plot) => {
    plot.append(element("div", undefined, "cursor"));
    plot.addEventListener("pointerdown", (event) => {
      plot.setPointerCapture(event.pointerId);
      show(at(plot, event));
    });
    plot.addEventListener("pointermove", (event) => event.buttons && show(at(plot, event)));
  });
  byId("theme").addEventListener("click", turn);
  byId("help").addEventListener("click", () => byId("keys").showModal());
  addEventListener("load", fitStrip);
  addEventListener("resize", fitStrip);
  if (matchMedia("(prefers-color-scheme: light)").matches) turn();
  show(frame);
})();
