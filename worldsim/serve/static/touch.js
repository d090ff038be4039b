// Buttons for fingers: a pad for the keys that move, and one button for each other control.
const PLACES = { w: "up", up: "up", s: "down", down: "down", a: "left", left: "left", d: "right", right: "right" };
const SIGNS = { up: "▲", down: "▼", left: "◀", right: "▶" };

/** Fills the touch controls for a world and shows them where there are fingers. */
export function showTouch(spec, inputs) {
  const $ = (id) => document.getElementById(id);
  const moving = spec.keys.filter((key) => key in PLACES);
  const flat = moving.every((key) => ["left", "right"].includes(PLACES[key]));
  const alone = moving.length === spec.keys.length && !spec.buttons.length;
  $("pad").className = flat ? `pad flat${alone ? " alone" : ""}` : "pad";
  $("pad").replaceChildren(...moving.map((key) => control("key", key, SIGNS[PLACES[key]], spec.meanings[key] ?? key, PLACES[key], inputs)));
  const buttons = spec.buttons.map((name) => control("button", name, spec.meanings[`mouse.${name}`] ?? name, "", "", inputs));
  const keys = spec.keys.filter((key) => !(key in PLACES)).map((key) => control("key", key, spec.meanings[key] ?? key, "", "", inputs));
  $("actions").replaceChildren(...buttons, ...keys);
  $("drag").hidden = !inputs.hasMouse;
  const fingers = matchMedia("(pointer: coarse)");
  const show = () => { $("touch").hidden = false; };
  $("touch").hidden = !fingers.matches;
  fingers.onchange = () => { $("touch").hidden = !fingers.matches; };
  addEventListener("touchstart", show, { once: true, passive: true });
}

function control(kind, name, text, label, place, inputs) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = place;
  button.textContent = text;
  if (label) button.setAttribute("aria-label", label);
  const set = (down) => {
    if (button.classList.contains("held") === down) return;
    button.classList.toggle("held", down);
    inputs.press(kind, name, down);
  };
  button.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    button.setPointerCapture(event.pointerId);
    set(true);
  });
  for (const type of ["pointerup", "pointercancel", "lostpointercapture"]) button.addEventListener(type, () => set(false));
  button.addEventListener("contextmenu", (event) => event.preventDefault());
  return button;
}
