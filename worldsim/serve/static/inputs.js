// Keyboard, mouse, touch and gamepads, by our names of the controls. A key is known by its position, whatever the layout.
const NAMED = {
  Space: "space", Enter: "return", Escape: "escape", Tab: "tab", Backspace: "backspace",
  ArrowUp: "up", ArrowDown: "down", ArrowLeft: "left", ArrowRight: "right",
  ShiftLeft: "shift", ShiftRight: "shift", ControlLeft: "ctrl", ControlRight: "ctrl", AltLeft: "alt", AltRight: "alt",
};
const ARROWS = { up: "w", down: "s", left: "a", right: "d" };
const BUTTONS = ["left", "middle", "right"];
const TURNS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const TURN_RATE = 1000; // pixels a second, for arrow keys and the right stick: 150 degrees
const DEAD_ZONE = 0.25;
const DRAG = 1.5; // pixels of the mouse for one of a finger
const TAP = 200; // milliseconds
const BETWEEN = 10; // milliseconds between two messages of motion, however fast the screen is
const MOVES = ["w", "a", "s", "d", "up", "down", "left", "right"];

export const keyName = (code) => NAMED[code] ?? (/^Key[A-Z]$/.test(code) ? code[3].toLowerCase() : /^Digit\d$/.test(code) ? code[5] : "");

export class Inputs {
  /** `send(message)` goes to the server, `command(event)` gets keys that are not the game's, `say()` when capture changes. */
  constructor(stage, spec, { send, command, changed }) {
    Object.assign(this, { stage, spec, send, command, changed });
    this.held = new Map(); // name -> how many keys, fingers and sticks hold it
    this.turning = new Set();
    this.motion = [0, 0];
    this.speed = 1;
    this.passed = 0;
    this.pads = new Map();
    this.off = new AbortController();
    this.hasMouse = spec.mouse_limit.some((limit) => limit > 0);
    this.listen();
    this.then = performance.now();
    this.tick = requestAnimationFrame((now) => this.frame(now));
  }

  get captured() { return document.pointerLockElement === this.stage; }

  /** Whether arrow keys turn: where the game has a mouse, and no use for the arrows themselves. */
  turns(code) {
    const name = keyName(code);
    return this.hasMouse && code in TURNS && !this.spec.keys.includes(name) && !this.spec.keys.includes(ARROWS[name]);
  }

  knows(name) { return this.spec.keys.includes(name) || this.spec.keys.includes(ARROWS[name]); }

  /** What space and Enter press where the game has a mouse button and no use for them. */
  clicks(code) {
    const free = (code === "Space" || code === "Enter") && !this.knows(keyName(code));
    return free && this.spec.buttons.length ? this.spec.buttons[0] : "";
  }

  press(kind, name, down) {
    const id = `${kind} ${name}`;
    const count = (this.held.get(id) ?? 0) + (down ? 1 : -1);
    if (count > 0) this.held.set(id, count);
    else this.held.delete(id);
    this.pass();
  }

  move(dx, dy) {
    this.motion[0] += dx * this.speed;
    this.motion[1] += dy * this.speed;
  }

  release() {
    this.held.clear();
    this.turning.clear();
    this.motion = [0, 0];
    document.querySelectorAll(".touch .held").forEach((button) => button.classList.remove("held"));
    this.send({ type: "release" });
  }

  /** Tells the server what is held now, and how far the mouse has moved since. */
  pass() {
    this.passed = performance.now();
    const names = (kind) => [...this.held.keys()].filter((id) => id.startsWith(kind)).map((id) => id.split(" ")[1]);
    const mouse = this.motion.map((pixels) => Math.max(-100000, Math.min(100000, Math.round(pixels * 100) / 100)));
    this.motion = [0, 0];
    this.send({ type: "hold", keys: names("key"), mouse, buttons: names("button") });
  }

  frame(now) {
    const seconds = Math.min(0.1, (now - this.then) / 1000);
    this.then = now;
    for (const code of this.turning) this.move(TURNS[code][0] * TURN_RATE * seconds, TURNS[code][1] * TURN_RATE * seconds);
    this.pollPads(seconds);
    if ((this.motion[0] || this.motion[1]) && now - this.passed >= BETWEEN) this.pass();
    this.tick = requestAnimationFrame((later) => this.frame(later));
  }

  listen() {
    const on = (target, types, handler) => {
      for (const type of types.split(" ")) target.addEventListener(type, handler, { signal: this.off.signal });
    };
    on(this.stage, "keydown", (event) => this.keyDown(event));
    on(window, "keyup", (event) => this.keyUp(event));
    on(this.stage, "pointerdown", (event) => this.pointerDown(event));
    on(this.stage, "pointermove", (event) => this.pointerMove(event));
    on(this.stage, "pointerup pointercancel", (event) => this.pointerUp(event));
    on(this.stage, "contextmenu", (event) => event.preventDefault());
    on(this.stage, "blur", () => { this.release(); this.changed(); });
    on(this.stage, "focus", () => this.changed());
    on(window, "blur", () => this.release());
    on(document, "visibilitychange", () => document.hidden && this.release());
    on(document, "pointerlockchange", () => {
      for (const button of BUTTONS) this.held.delete(`button ${button}`);
      this.pass();
      this.changed();
    });
    on(window, "gamepaddisconnected", () => { this.pads.clear(); this.release(); });
  }

  keyDown(event) {
    if (event.ctrlKey && !this.knows("ctrl") || event.altKey && !this.knows("alt") || event.metaKey) return; // the browser's
    const name = keyName(event.code);
    // Tab and Escape leave the game, as they must; with Shift they are the game's, where it uses them.
    const leaves = ["tab", "escape"].includes(name) && !(event.shiftKey && this.spec.keys.includes(name));
    if (leaves) return;
    if (this.knows(name)) {
      if (!event.repeat) this.press("key", name, true);
    } else if (this.turns(event.code)) {
      this.turning.add(event.code);
    } else if (this.clicks(event.code)) {
      if (!event.repeat) this.press("button", this.clicks(event.code), true);
    } else if (event.repeat || !this.command(event)) {
      return;
    }
    event.preventDefault();
  }

  keyUp(event) {
    const name = keyName(event.code);
    this.turning.delete(event.code);
    if (this.held.has(`key ${name}`)) this.press("key", name, false);
    else if (this.clicks(event.code) && this.held.has(`button ${this.clicks(event.code)}`)) this.press("button", this.clicks(event.code), false);
  }

  pointerDown(event) {
    this.stage.focus({ preventScroll: true });
    if (event.pointerType !== "mouse") {
      this.finger = { x: event.clientX, y: event.clientY, at: performance.now(), moved: 0 };
      return;
    }
    if (this.hasMouse && !this.captured) {
      this.capture();
    } else if (this.spec.buttons.includes(BUTTONS[event.button])) {
      this.press("button", BUTTONS[event.button], true);
    }
    event.preventDefault();
  }

  async capture() {
    try {
      await this.stage.requestPointerLock({ unadjustedMovement: true });
    } catch (error) { // some systems cannot tell motion from acceleration
      if (error.name === "NotSupportedError") await Promise.resolve(this.stage.requestPointerLock()).catch(() => {});
    }
  }

  pointerMove(event) {
    if (event.pointerType === "mouse") {
      if (this.captured) this.move(event.movementX, event.movementY);
    } else if (this.finger) {
      const [dx, dy] = [event.clientX - this.finger.x, event.clientY - this.finger.y];
      Object.assign(this.finger, { x: event.clientX, y: event.clientY, moved: this.finger.moved + Math.abs(dx) + Math.abs(dy) });
      if (this.hasMouse) this.move(dx * DRAG, dy * DRAG);
    }
  }

  pointerUp(event) {
    if (event.pointerType === "mouse") {
      const name = BUTTONS[event.button];
      if (this.held.has(`button ${name}`)) this.press("button", name, false);
      return;
    }
    const finger = this.finger;
    this.finger = null;
    const tapped = finger && finger.moved < 10 && performance.now() - finger.at < TAP;
    if (tapped && event.type === "pointerup" && this.spec.buttons.includes("left")) {
      this.press("button", "left", true);
      this.press("button", "left", false);
    }
  }

  /** The left stick or the cross moves, the right stick turns, buttons press the game's own. */
  pollPads(seconds) {
    const actions = [
      ...this.spec.buttons.map((name) => `button ${name}`),
      ...this.spec.keys.filter((name) => !MOVES.includes(name)).map((name) => `key ${name}`),
    ];
    const places = [0, 1, 2, 3, 4, 5]; // A, B, X, Y and the shoulder buttons
    for (const pad of navigator.getGamepads?.() ?? []) {
      if (!pad || pad.mapping !== "standard") continue;
      const axis = (i) => (Math.abs(pad.axes[i] ?? 0) < DEAD_ZONE ? 0 : pad.axes[i]);
      const pressed = (i) => pad.buttons[i]?.pressed;
      const now = new Set(actions.filter((_, i) => i < places.length && pressed(places[i])));
      if (axis(0) < 0 || pressed(14)) now.add("key left");
      if (axis(0) > 0 || pressed(15)) now.add("key right");
      if (axis(1) < 0 || pressed(12)) now.add("key up");
      if (axis(1) > 0 || pressed(13)) now.add("key down");
      const before = this.pads.get(pad.index) ?? new Set();
      for (const id of now) if (!before.has(id)) this.press(...id.split(" "), true);
      for (const id of before) if (!now.has(id)) this.press(...id.split(" "), false);
      this.pads.set(pad.index, now);
      if (axis(2) || axis(3)) this.move(axis(2) * TURN_RATE * seconds, axis(3) * TURN_RATE * seconds);
    }
  }

  close() {
    this.off.abort();
    cancelAnimationFrame(this.tick);
    if (this.captured) document.exitPointerLock();
  }
}
