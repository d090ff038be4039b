// One world being played: frames and figures as they come, and what the player does besides playing.
import { Connection } from "./connection.js";
import { Inputs } from "./inputs.js";
import { arrange, heightFor } from "./layout.js";
import { showTouch } from "./touch.js";

const MESSAGE = 3000, HELP = 8000; // milliseconds for which they are shown
const LATENCIES = 100; // the last ones count
const PER_ROW = 8;
const $ = (id) => document.getElementById(id);

export class Game {
  constructor(name, commands) {
    Object.assign(this, { name, commands, spec: null, state: null, inputs: null, header: null });
    Object.assign(this, { latest: 0, inputCount: 0, waiting: [], times: [], latencies: [], roundTrip: null });
    this.off = new AbortController();
    $("name").textContent = name;
    $("panes").replaceChildren();
    $("figures").textContent = "";
    $("line").textContent = "";
    $("touch").hidden = $("help").hidden = $("message").hidden = true;
    this.names = new Map();
    navigator.keyboard?.getLayoutMap?.().then((map) => { for (const [code, text] of map) this.names.set(code, text); }).catch(() => {});
    this.listen();
    this.say("connecting ...", Infinity);
    this.connection = new Connection(name, {
      world: (message) => this.begin(message),
      state: (message) => this.setState(message),
      notice: ({ text }) => this.say(text),
      loading: () => this.say("loading ...", Infinity),
      wait: ({ ahead, text }) => this.say(ahead ? `${text} ${ahead} more wait before you.` : text, Infinity),
      pong: ({ at }) => { this.roundTrip = Math.round(performance.now()) - at; },
      bye: ({ text, again }) => { if (!again) this.end(text); },
      frame: (header, blobs) => this.frame(header, blobs),
      lost: () => this.disconnected(),
    });
    $("stage").focus({ preventScroll: true });
  }

  begin(spec) {
    this.inputs?.close();
    this.spec = spec;
    this.inputs = new Inputs($("stage"), spec, {
      send: (message) => this.sendInput(message),
      command: (event) => this.key(event),
      changed: () => this.changed(),
    });
    Object.assign(this, { latest: 0, inputCount: 0, waiting: [], times: [], latencies: [] });
    $("mouse").hidden = !this.inputs.hasMouse;
    $("mode").hidden = !spec.real;
    $("ask").hidden = !spec.prompt;
    $("message").hidden = true;
    showTouch(spec, this.inputs);
    this.fillHelp();
    this.showHelp(HELP);
    this.changed();
  }

  sendInput(message) {
    this.inputCount += 1;
    this.waiting.push([this.inputCount, performance.now()]);
    if (this.waiting.length > 500) this.waiting.shift();
    this.connection.send(message);
  }

  setState(state) {
    this.state = state;
    $("calls").textContent = state.calls;
    $("temperature").value = state.temperature;
    $("warmth").textContent = state.temperature.toFixed(1);
    pressed("pause", state.paused);
    pressed("next_mode", state.mode !== "dream");
    document.querySelector('[data-command="one_frame"]').disabled = !state.paused;
    this.drawFigures();
  }

  async frame(header, blobs) {
    let images = [];
    try {
      images = await Promise.all(blobs.map((blob) => createImageBitmap(blob)));
    } catch { /* a damaged picture; the next one comes */ }
    this.connection.send({ type: "shown", frame: header.frame });
    if (header.frame < this.latest || images.length === 0) return; // a newer one was faster
    this.latest = header.frame;
    this.header = header;
    this.place(header.panes);
    header.panes.forEach((pane, i) => {
      const canvas = $("panes").children[i].querySelector("canvas");
      canvas.getContext("2d", { alpha: false }).drawImage(images[i], 0, 0);
      $("panes").children[i].classList.toggle("over", pane.over);
      images[i].close();
    });
    this.time(header);
    this.drawFigures();
  }

  /** Canvases for what is shown, made anew when their number changes. */
  place(panes) {
    const names = panes.map((pane) => pane.name).join();
    if (names === $("panes").dataset.names && $("panes").children.length) return;
    $("panes").dataset.names = names;
    $("panes").replaceChildren(...panes.map((pane) => {
      const made = document.createElement("div");
      const canvas = document.createElement("canvas");
      made.className = "pane";
      Object.assign(canvas, { width: this.spec.width, height: this.spec.height });
      canvas.setAttribute("aria-label", pane.name);
      const heading = document.createElement("div");
      heading.className = "heading";
      heading.hidden = panes.length < 2;
      made.append(heading, canvas);
      return made;
    }));
    this.resize();
  }

  resize() {
    const panes = [...$("panes").children];
    if (!this.spec || !panes.length) return;
    const box = $("panes");
    box.style.height = "";
    if (getComputedStyle(box).position === "relative") box.style.height = `${heightFor(this.spec, panes.length, box.clientWidth)}px`;
    arrange(this.spec, panes.length, box.clientWidth, box.clientHeight).forEach((place, i) => {
      for (const [side, pixels] of Object.entries(place)) panes[i].style[side] = `${pixels}px`;
    });
  }

  /** Notes when frames come, and how long inputs took until a frame that counts them was drawn. */
  time(header) {
    const now = performance.now();
    this.times.push(now);
    if (this.times.length > 60) this.times.shift();
    let newest = null;
    while (this.waiting.length && this.waiting[0][0] <= header.inputs) newest = this.waiting.shift();
    if (newest) this.latencies.push(now - newest[1]);
    if (this.latencies.length > LATENCIES) this.latencies.shift();
  }

  get rate() {
    const span = this.times.at(-1) - this.times[0];
    return span > 0 ? ((this.times.length - 1) * 1000) / span : 0;
  }

  drawFigures() {
    if (!this.header || !this.state) return;
    const several = this.header.panes.length > 1;
    const held = [...this.header.keys, ...this.header.buttons.map((name) => `${name} click`)];
    const [dx, dy] = this.header.mouse;
    if (dx) held.push(`turn ${sign(dx)}`);
    if (dy) held.push(`look ${sign(dy)}`);
    const lines = [this.state.mode + (this.state.paused ? ", paused" : "")];
    if (!several) lines.push(progress(this.header.panes[0]));
    lines.push(`${this.rate.toFixed(0)} of ${this.spec.fps.toFixed(1)} frames/s${this.delay()}`, this.state.figures, `held: ${held.join(" ") || "-"}`);
    $("figures").textContent = lines.join("\n");
    if (several) {
      this.header.panes.forEach((pane, i) => {
        $("panes").children[i].querySelector(".heading").textContent = `${pane.name}   ${progress(pane)}`;
      });
    }
    $("line").textContent = this.roundTrip === null ? "" : `ping ${Math.max(0, this.roundTrip)} ms`;
  }

  delay() {
    if (this.latencies.length < 5) return "";
    const sorted = [...this.latencies].sort((a, b) => a - b);
    return `, ${sorted[Math.floor(0.99 * (sorted.length - 1))].toFixed(0)} ms p99`;
  }

  say(text, milliseconds = MESSAGE) {
    clearTimeout(this.silence);
    $("message").textContent = text;
    $("message").hidden = false;
    if (milliseconds < Infinity) this.silence = setTimeout(() => this.changed(), milliseconds);
  }

  /** What is said while there is nothing to say. */
  changed() {
    if (!this.inputs) return;
    clearTimeout(this.silence);
    const coarse = matchMedia("(pointer: coarse)").matches;
    const focused = document.activeElement === $("stage");
    const hint = !focused && !coarse ? "click the picture to play" : this.inputs.hasMouse && !this.inputs.captured && !coarse ? "click to capture the mouse" : "";
    $("message").textContent = hint;
    $("message").hidden = hint === "";
  }

  disconnected() {
    this.inputs?.close();
    this.inputs = null;
    this.say("the connection is lost; trying again ...", Infinity);
  }

  end(text) {
    this.ended = true;
    this.disconnected();
    this.say(`${text} Reload the page to play again.`, Infinity);
  }

  fillHelp() {
    const { spec } = this;
    const printed = (key) => this.names.get(`Key${key.toUpperCase()}`) ?? key;
    const rows = spec.keys.filter((key) => key in spec.meanings).map((key) => [printed(key), spec.meanings[key]]);
    const others = spec.keys.filter((key) => !(key in spec.meanings)).map(printed);
    for (let i = 0; i < others.length; i += PER_ROW) rows.push([others.slice(i, i + PER_ROW).join(" "), "keys of the game"]);
    const axes = ["mouse.dx", "mouse.dy"].filter((_, i) => spec.mouse_limit[i] > 0);
    if (axes.length) rows.push([this.inputs.turns("ArrowLeft") ? "mouse, arrow keys" : "mouse", [...new Set(axes.map((axis) => spec.meanings[axis] ?? "look"))].join(" and ")]);
    for (const name of spec.buttons) rows.push([`${name} click${name === spec.buttons[0] && this.inputs.clicks("Space") ? ", space" : ""}`, spec.meanings[`mouse.${name}`] ?? "button of the game"]);
    for (const { name, keys, meaning } of this.commands) {
      const free = keys.filter((key) => !spec.keys.includes(key));
      if (free.length && this.offers(name)) rows.push([free.map((key) => key.toUpperCase()).join(", "), meaning.replace("dream, real, side by side", "dream, side by side")]);
    }
    rows.push(["Esc", "release the mouse"], ["Tab", "leave the picture"]);
    $("help").tBodies[0].replaceChildren(...rows.map(([key, meaning]) => {
      const row = document.createElement("tr");
      row.append(Object.assign(document.createElement("th"), { textContent: key }), Object.assign(document.createElement("td"), { textContent: meaning }));
      return row;
    }));
  }

  /** Whether a command makes sense in this world. */
  offers(name) {
    if (name === "next_mode") return this.spec.real;
    return !name.endsWith("_mouse") || this.inputs.hasMouse;
  }

  showHelp(milliseconds) {
    clearTimeout(this.helpTimer);
    $("help").hidden = matchMedia("(max-width: 640px)").matches && milliseconds < Infinity; // on a phone there is no room beside the game
    if (milliseconds < Infinity) this.helpTimer = setTimeout(() => { $("help").hidden = true; pressed("show_help", false); }, milliseconds);
    pressed("show_help", !$("help").hidden);
  }

  /** A key that is not the game's: does what it stands for, and says whether there was anything. */
  key(event) {
    const text = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const command = this.commands.find(({ keys }) => keys.includes(text));
    if (!command || !this.offers(command.name)) return false;
    this.run(command.name);
    return true;
  }

  run(name) {
    if (!this.inputs) return;
    const { send } = { send: (message) => this.connection.send(message) };
    const actions = {
      restart: () => send({ type: "restart", prompt: this.spec.prompt ? $("prompt").value : "" }),
      pause: () => send({ type: "pause", on: !this.state?.paused }),
      one_frame: () => send({ type: "one_frame" }),
      fewer_calls: () => send({ type: "num_steps", change: -1 }),
      more_calls: () => send({ type: "num_steps", change: 1 }),
      colder: () => this.heat(-0.1),
      warmer: () => this.heat(0.1),
      slower_mouse: () => this.setSpeed(1 / 1.25),
      faster_mouse: () => this.setSpeed(1.25),
      next_mode: () => this.nextMode(),
      clip: () => this.download(),
      picture: () => $("file").click(),
      show_figures: () => { $("figures").hidden = !$("figures").hidden; pressed("show_figures", !$("figures").hidden); },
      show_help: () => { if ($("help").hidden) this.showHelp(Infinity); else { $("help").hidden = true; pressed("show_help", false); } },
      toggle_fullscreen: () => (document.fullscreenElement ? document.exitFullscreen() : $("play").requestFullscreen?.().catch(() => {})),
    };
    actions[name]?.();
  }

  heat(change) {
    const value = Math.min(10, Math.max(0, Math.round((this.state.temperature + change) * 10) / 10));
    this.connection.send({ type: "temperature", value });
    this.say(`temperature ${value.toFixed(1)}`);
  }

  setSpeed(factor) {
    this.inputs.speed = Math.min(100, Math.max(0.01, this.inputs.speed * factor));
    $("speed").textContent = this.inputs.speed.toFixed(2);
    this.say(`mouse sensitivity ${this.inputs.speed.toFixed(2)}`);
  }

  nextMode() {
    this.say("one moment ...", 10000);
    this.connection.send({ type: "mode", name: this.state.mode === "dream" ? "side by side" : "dream" });
  }

  download() {
    const link = Object.assign(document.createElement("a"), { href: this.spec.clip, download: "" });
    document.body.append(link);
    link.click();
    link.remove();
    this.say("the clip is being made ...");
  }

  /** Starts from a picture: its middle in the shape of the frames, at their size, as red, green and blue. */
  async startFrom(file) {
    if (!file || !this.spec) return;
    const { width, height } = this.spec;
    let image;
    try {
      image = await createImageBitmap(file);
    } catch {
      this.say("this is no picture that the browser can read");
      return;
    }
    const scale = Math.max(width / image.width, height / image.height);
    const [wide, high] = [image.width * scale, image.height * scale];
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const context = canvas.getContext("2d", { alpha: false });
    context.imageSmoothingQuality = "high";
    context.drawImage(image, (width - wide) / 2, (height - high) / 2, wide, high);
    image.close();
    const pixels = context.getImageData(0, 0, width, height).data.filter((_, i) => i % 4 !== 3);
    const answer = await fetch(this.spec.start, { method: "POST", body: pixels }).catch(() => null);
    if (!answer) this.say("the picture did not reach the server");
    else if (!answer.ok) this.say(await answer.text());
  }

  listen() {
    const on = (target, type, handler) => target.addEventListener(type, handler, { signal: this.off.signal });
    for (const button of document.querySelectorAll("[data-command]")) {
      on(button, "click", (event) => {
        if (event.detail) $("stage").focus({ preventScroll: true }); // by mouse or finger: the keys stay the game's
        this.run(button.dataset.command);
      });
    }
    on($("temperature"), "input", () => this.state && this.heat($("temperature").value - this.state.temperature));
    on($("ask"), "submit", (event) => { event.preventDefault(); this.run("restart"); $("stage").focus(); });
    on($("file"), "change", (event) => { this.startFrom(event.target.files[0]); event.target.value = ""; $("stage").focus(); });
    on($("stage"), "dragover", (event) => event.preventDefault());
    on($("stage"), "drop", (event) => { event.preventDefault(); this.startFrom(event.dataTransfer.files[0]); });
    on($("back"), "click", (event) => { event.preventDefault(); location.hash = ""; });
    this.watcher = new ResizeObserver(() => this.resize());
    this.watcher.observe($("stage"));
  }

  close() {
    clearTimeout(this.silence);
    clearTimeout(this.helpTimer);
    this.off.abort();
    this.watcher.disconnect();
    this.inputs?.close();
    this.connection.close();
    if (document.fullscreenElement) document.exitFullscreen();
  }
}

const sign = (number) => `${number > 0 ? "+" : ""}${number.toFixed(0)}`;

function progress(pane) {
  const score = pane.score === null ? [] : [`score ${(Math.round(pane.score * 10) / 10 + 0).toFixed(1)}`];
  return [...score, `${pane.survived} frame${pane.survived === 1 ? "" : "s"}`, ...(pane.over ? ["over"] : [])].join(", ");
}

function pressed(command, on) {
  document.querySelector(`[data-command="${command}"]`).setAttribute("aria-pressed", on);
}
