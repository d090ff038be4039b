// The menu of worlds, and which of menu and game is shown: the address says it, so that "back" works.
import { Game } from "./game.js";

const $ = (id) => document.getElementById(id);
let game = null;
let commands = [];

function route() {
  const name = decodeURIComponent(location.hash.slice(1));
  if (game) game.close();
  game = null;
  $("choose").hidden = name !== "";
  $("play").hidden = name === "";
  document.title = name ? `${name} - worldsim` : "worldsim";
  if (name) game = new Game(name, commands);
  else showWorlds();
}

async function showWorlds() {
  try {
    const answer = await fetch("/worlds");
    if (!answer.ok) throw new Error(await answer.text());
    const { worlds, commands: all } = await answer.json();
    commands = all;
    $("trouble").hidden = true;
    $("worlds").replaceChildren(...worlds.map(card));
  } catch (error) {
    $("trouble").textContent = error instanceof TypeError ? "The server does not answer." : error.message;
    $("trouble").hidden = false;
  }
}

function card(world) {
  const picture = element("img", "picture", { src: world.picture, alt: "", width: world.width, height: world.height, loading: "lazy" });
  const rate = world.measured_fps === null ? "" : `, ${world.measured_fps.toFixed(0)} here`;
  const about = element("span", "about");
  about.append(
    element("span", "name", { textContent: world.name }),
    keys(world),
    element("span", "facts", { textContent: `${world.width}x${world.height} pixels, ${trim(world.fps)} frames/s${rate}` }),
    element("span", "facts", { textContent: figures(world) }),
  );
  if (world.players) about.append(element("span", "busy", { textContent: busy(world) }));
  const button = element("button", "card", { type: "button" });
  if (world.default) button.dataset.first = "";
  button.append(picture, about);
  button.addEventListener("click", () => { location.hash = encodeURIComponent(world.name); });
  const item = element("li");
  item.append(button);
  return item;
}

function keys(world) {
  const line = element("span", "keys");
  const add = (what, meaning) => {
    const one = element("span");
    one.append(element("kbd", "", { textContent: what }), ` ${meaning}`);
    line.append(one);
  };
  for (const key of world.keys.slice(0, 6)) add(key, world.meanings[key] ?? "");
  if (world.keys.length > 6) line.append(`and ${world.keys.length - 6} more keys`);
  if (world.mouse) add("mouse", world.meanings["mouse.dx"] ?? "look");
  for (const button of world.buttons) add(`${button} click`, world.meanings[`mouse.${button}`] ?? "");
  return line;
}

function figures(world) {
  const { next_frame_psnr_db: next, copy_last_frame_psnr_db: copy } = world.figures;
  const size = `${(world.parameters / 1e6).toFixed(1)}M parameters`;
  return next === undefined ? size : `next frame ${next} dB${copy === undefined ? "" : ` (copying the last: ${copy})`}, ${size}`;
}

function busy(world) {
  const limit = world.limit === null ? "" : ` of ${world.limit}`;
  return `${world.players}${limit} playing now`;
}

const trim = (number) => String(Math.round(number * 100) / 100);

function element(tag, name = "", properties = {}) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  return Object.assign(made, properties);
}

// Arrow keys move between the cards, as in the window's menu.
$("worlds").addEventListener("keydown", (event) => {
  const cards = [...document.querySelectorAll(".card")];
  const columns = getComputedStyle($("worlds")).gridTemplateColumns.split(" ").length;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.code];
  const next = cards[cards.indexOf(document.activeElement) + step];
  if (!next) return;
  event.preventDefault();
  next.focus();
});

addEventListener("hashchange", route);
await showWorlds();
route();
if (!location.hash) document.querySelector(".card[data-first]")?.focus();
