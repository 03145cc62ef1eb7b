// The page: what was chosen goes to the server, what comes back is drawn. Nothing is learned or computed here.

import { AgentForm, RulesForm } from "./agents.js";
import { valuesOf } from "./board.js";
import { draw, layOut, makeBoards } from "./boards.js";
import { count } from "./colors.js";
import { get, hooks, makeView, page, schedule, setup } from "./page.js";
import { drawPlay } from "./play.js";
import { connect } from "./socket.js";
import { element } from "./steps.js";
import { drawTools, tool } from "./tools.js";
import { described, editable, fromFile, fromFragment, resized } from "./world.js";

const SPEEDS = [1, 2, 5, 10, 30, 100, 1e3, 1e4, 1e5, 1e6, 0];
const PLAY_SPEEDS = [1, 2, 5, 10, 0, 60, 200];

// ---- To the server --------------------------------------------------------------------------------------------------

const send = (hooks.send = connect(receive, (_, reason) => fail(`The server does not answer${reason ? ` (${reason})` : ""}; trying again.`)));
hooks.draw = () => (page.playing ? page.play && drawPlay(page.play) : draw());

function run(running) {
  if (running && refused()) return;
  get("error").hidden = true;
  if (running) send({ type: "run", speed: page.playing ? PLAY_SPEEDS[page.playSpeed] : SPEEDS[page.speed] });
  else send({ type: "pause" });
  showRunning(running);
}

/** Whether the server has no such world as was drawn; then it is asked again, and says once more what is wrong. */
function refused() {
  const wasRefused = page.refused && !page.playing;
  if (wasRefused) setup();
  return wasRefused;
}

function step() {
  if (refused()) return;
  get("error").hidden = true;
  send({ type: "step" });
  showRunning(false);
}

// ---- From the server ------------------------------------------------------------------------------------------------

function receive(message) {
  if (message.type === "welcome") welcome(message);
  else if (message.type === "error") {
    page.refused = page.unsure;
    fail(message.text);
  }
  else if (message.type === "world") takeWorld(message);
  else {
    if (message.type === "frame") page.frame = message;
    else page.play = message;
    showRunning(message.running);
    schedule(message.number);
  }
}

function fail(text) {
  get("error").textContent = text;
  get("error").hidden = false;
  showRunning(false);
}

function welcome({ examples, saved }) {
  Object.assign(page, { examples, saved, drawn: 0, acknowledged: 0 });
  get("example").replaceChildren(...examples.map(({ name }, i) => element("option", { value: i }, name)));
  if (saved) {
    get("model").replaceChildren(...saved.models.map((name, i) => element("option", { value: i }, name)));
    get("other-side").hidden = false;
  }
  const [linked, problem] = linkedSetup();
  if (linked) choose(linked, "A world from a link.");
  else if (!page.edited) choose(examples[0], examples[0].about);
  else setup();
  if (saved && !linked) showSide(true);
  if (problem) fail(problem);
}

/** What the address says: a setup or null, and what is wrong with it. */
function linkedSetup() {
  try {
    const found = fromFragment(location.hash);
    if (found && !(found.world?.map?.length && found.agents?.length)) throw new Error("it has no map, or no agent");
    if (found) editable(found.world);
    return [found, ""];
  } catch (error) {
    return [null, `This link cannot be read: ${error.message}`];
  }
}

function choose({ world, gamma, agents }, about) {
  page.edited = editable(world);
  Object.assign(page, { gamma, agents, cursor: null, frame: null });
  const plain = (one) => JSON.stringify(described(editable(one)));
  const found = page.examples.findIndex((example) => plain(example.world) === plain(world));
  get("example").selectedIndex = found;
  get("about").textContent = found >= 0 ? page.examples[found].about : world.about || about;
  fillForms();
  setup();
}

function takeWorld(message) {
  const letters = message.map.flatMap((row) => [...row]);
  page.unsure = page.refused = false;
  page.world = makeView(message.map.length, [...message.map[0]].length, letters, message.wind.flat(), message.rewards.flat(), message.rules, message.moves);
  page.exact = message.exact.length ? valuesOf(page.world, message.exact, message.moves.length) : null;
  Object.assign(page, { optimum: message.optimum, noSolution: message.no_solution, frame: null });
  page.boards.forEach(({ stat }) => delete stat.dataset.steps);
  makeBoards();
}

function showRunning(running) {
  page.running = running;
  const button = get("run");
  button.setAttribute("aria-pressed", running);
  button.querySelector(".word").textContent = running ? "Pause" : "Run";
}

function showSpeed() {
  const speeds = page.playing ? PLAY_SPEEDS : SPEEDS, at = page.playing ? page.playSpeed : page.speed;
  Object.assign(get("speed"), { max: speeds.length - 1, value: at });
  const text = speeds[at] ? `${count(speeds[at])} a second` : page.playing ? "as it is" : "at full speed";
  get("speed-shown").textContent = text;
  get("speed").setAttribute("aria-valuetext", text);
}

function setSpeed(at) {
  const last = (page.playing ? PLAY_SPEEDS : SPEEDS).length - 1;
  page[page.playing ? "playSpeed" : "speed"] = Math.min(Math.max(at, 0), last);
  showSpeed();
  if (page.running) run(true);
}

// ---- Forms and buttons ----------------------------------------------------------------------------------------------

const forms = [0, 1].map((i) => new AgentForm(get(`agent${i}`), i, () => {
  page.agents = forms.map((form) => form.read()).filter(Boolean);
  makeBoards();
  setup();
}));
const rules = new RulesForm(get("rules"), (name, value) => {
  if (name === "max_episode_steps") page.edited.max_episode_steps = value;
  else page.edited.rules = { ...page.edited.rules, [name]: value };
  get("example").selectedIndex = -1;
  setup();
});

function fillForms() {
  forms.forEach((form, i) => form.fill(page.agents[i]));
  rules.fill(page.edited);
  [get("rows").value, get("columns").value] = [page.edited.letters.length, page.edited.letters[0].length];
  get("gamma").value = page.gamma;
}

function showSide(playing) {
  page.playing = playing;
  for (const [id, hidden] of [["play", !playing], ["learn", playing], ["settings", playing], ["model-label", !playing], ["example-label", playing], ["sharing", playing], ["show-label", playing]]) get(id).hidden = hidden;
  get("other-side").textContent = playing ? "Learn in a grid world" : `Play ${page.saved.algo} on ${page.saved.env}`;
  get("about").textContent = playing ? `${page.saved.algo} on ${page.saved.env}, greedily.` : "";
  if (playing) send({ type: "model", index: get("model").selectedIndex });
  else choose({ world: described(page.edited), gamma: page.gamma, agents: page.agents }, "");
  showRunning(false);
  showSpeed();
  layOut();
}

function resizeWorld() {
  const [rows, columns] = [get("rows"), get("columns")];
  if (!rows.reportValidity() || !columns.reportValidity()) return;
  page.edited = resized(page.edited, Number(rows.value), Number(columns.value));
  page.cursor = null;
  get("example").selectedIndex = -1;
  setup();
}

async function openFile(file) {
  try {
    const world = fromFile(await file.text());
    choose({ world: described(editable(world)), gamma: page.gamma, agents: page.agents }, `From ${file.name}.`);
  } catch (error) {
    fail(`${file.name} is no world: ${error.message}`);
  }
}

function saveFile() {
  const link = element("a", { download: "world.json" });
  link.href = URL.createObjectURL(new Blob([`${JSON.stringify(described(page.edited), null, 1)}\n`], { type: "application/json" }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

async function copyLink() {
  try {
    await navigator.clipboard.writeText(location.href);
    get("about").textContent = "The link is copied: whoever runs sb3-ext watch can open it.";
  } catch {
    prompt("Copy this link:", location.href);
  }
}

const on = (id, name, listener) => get(id).addEventListener(name, listener);
on("run", "click", () => run(!page.running));
on("step", "click", step);
on("reset", "click", () => (send({ type: "reset" }), (get("error").hidden = true)));
on("speed", "input", () => setSpeed(Number(get("speed").value)));
on("show", "change", () => schedule());
on("log", "change", () => schedule());
on("example", "change", () => choose(page.examples[get("example").selectedIndex], ""));
on("model", "change", () => showSide(true));
on("other-side", "click", () => showSide(!page.playing));
on("link", "click", copyLink);
on("save", "click", saveFile);
on("open", "click", () => get("file").click());
on("file", "change", () => get("file").files[0] && openFile(get("file").files[0]).then(() => (get("file").value = "")));
on("rows", "change", resizeWorld);
on("columns", "change", resizeWorld);
on("gamma", "change", () => {
  if (!get("gamma").reportValidity()) return;
  page.gamma = Number(get("gamma").value);
  makeBoards();
  setup();
});
on("theme", "click", () => {
  const dark = document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  document.documentElement.dataset.theme = dark === "dark" ? "light" : "dark";
  drawTools();
  schedule();
});
addEventListener("resize", layOut);
addEventListener("hashchange", () => {
  const [linked, problem] = linkedSetup();
  if (linked) choose(linked, "A world from a link.");
  if (problem) fail(problem);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (drawTools(), schedule()));
addEventListener("keydown", (event) => {
  const pressed = event.key === " " ? "button, " : ""; // the space bar presses a button
  const typing = event.target.closest?.(`${pressed}input, select, summary, textarea`);
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const keys = { " ": () => run(!page.running), n: step, Backspace: () => get("reset").click(), "+": () => setSpeed(Number(get("speed").value) + 1), "-": () => setSpeed(Number(get("speed").value) - 1) };
  if (!(event.key in keys)) return;
  keys[event.key]();
  event.preventDefault();
});
drawTools(() => page.boards.forEach(({ board }) => board.canvas.classList.toggle("drawing", tool() !== "look")));
showSpeed();
