// The maps beside each other, and the panels that tell of them.

import { agentDetails, agentName } from "./agents.js";
import { Board, valuesOf } from "./board.js";
import { color, contextOf, count, short, themed } from "./colors.js";
import { drawCurves } from "./curve.js";
import { boardKey, endStroke, pointerDown, pointerMove } from "./edit.js";
import { get, page, schedule } from "./page.js";
import { cellPanel, element, updatePanel } from "./steps.js";

const KINDS = { "#": "wall", ".": "floor", S: "start", G: "goal", H: "hole", C: "cliff", K: "key", D: "door" };

/** Makes a map for each agent and one for the exact solution, and names them. */
export function makeBoards() {
  const names = page.agents.map(agentName), details = page.agents.map(agentDetails);
  if (names[0] === names[1]) names.forEach((_, i) => (names[i] += ` ${i + 1}`));
  page.names = names;
  const titles = [...names, "Exact solution"];
  if (page.boards.length !== titles.length) {
    page.boards = titles.map((_, i) => makeBoard(i, i === titles.length - 1));
    get("boards").replaceChildren(...page.boards.map(({ figure }) => figure));
  }
  page.boards.forEach(({ title, more, board }, i) => {
    title.textContent = titles[i];
    more.textContent = details[i] ?? `γ ${page.gamma}`;
    board.canvas.setAttribute("aria-label", `Map: ${titles[i]}`);
  });
  layOut();
}

function makeBoard(index, isExact) {
  const canvas = element("canvas", { tabindex: 0, role: "application", id: isExact ? "exact" : `board${index}` });
  const [title, more, stat] = [element("span"), element("small"), element("p", { class: "stat", id: isExact ? "stat-exact" : `stat${index}` })];
  const figure = element("figure", { class: isExact ? "exact" : ["first", "second"][index] }, element("h2", {}, title, more), canvas, stat);
  const made = { figure, title, more, stat, board: new Board(canvas), isExact };
  canvas.addEventListener("pointerdown", (event) => pointerDown(event, made));
  canvas.addEventListener("pointermove", (event) => pointerMove(event, made));
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, endStroke);
  canvas.addEventListener("keydown", boardKey);
  canvas.addEventListener("focus", () => focusBoard(made));
  canvas.addEventListener("blur", () => focusBoard(null));
  return made;
}

function focusBoard(made) {
  page.focused = made;
  if (made && !page.cursor) page.cursor = [0, 0];
  schedule();
}

/** Chooses the number of columns of maps that makes cells largest. */
export function layOut() {
  if (!page.world) return;
  const area = get("boards"), n = page.boards.length, narrow = innerWidth <= 860;
  const width = area.clientWidth, height = narrow ? innerHeight * 2.4 : Math.max(innerHeight - area.getBoundingClientRect().top - scrollY - 10, 420);
  let best = [0, n];
  for (let k = n; k >= 1; k--) {
    const size = Math.min((width - 16 * (k - 1)) / k / page.world.width, height / Math.ceil(n / k) / page.world.height - 62 / page.world.height, 96);
    if (size > 1.06 * best[0]) best = [size, k];
  }
  const smallest = Math.min(width / page.world.width, 9);
  const size = Math.max(Math.floor(best[0] - 0.05), Math.floor(smallest), 3);
  area.style.gridTemplateColumns = `repeat(${best[1]}, max-content)`;
  page.boards.forEach(({ board, figure }) => {
    board.resize(page.world, size);
    figure.style.maxWidth = `${Math.max(size * page.world.width + 1, narrow ? width : 200)}px`;
  });
  schedule();
}

/** Draws it all. */
export function draw() {
  const { world, frame, exact } = page;
  if (!world) return;
  const n = world.moves.length, show = get("show").value;
  const known = page.agents.map((_, i) => (frame?.[`q${i}`] ? valuesOf(world, frame[`q${i}`], n) : null));
  const tables = [...known, exact];
  const ranges = tables.filter(Boolean);
  let range = [Math.min(...ranges.map(({ low }) => low)), Math.max(...ranges.map(({ high }) => high))];
  if (show === "q") range = rangeOfActions(world, ranges, n);
  const first = frame?.agents[0]?.state ?? -1;
  page.boards.forEach(({ board, isExact }, i) => {
    const agent = isExact ? null : frame?.agents[i];
    const state = agent ? agent.state : -1, touched = agent?.step ? [[agent.step.state, themed("--ink")]] : [];
    board.draw(world, {
      known: page.stroke ? null : tables[i], visits: isExact ? null : frame?.[`visits${i}`], range, state: page.stroke ? -1 : state,
      layer: (state >= 0 ? state : first) >= world.nCells ? 1 : 0, show: isExact && show === "visits" ? "values" : show,
      cursor: page.cursor, touched, focused: page.focused?.board === board,
    });
  });
  drawStats(range, show);
  if (frame) drawSeries(frame);
  const now = performance.now();
  if (!page.running || now - page.panelled > 200) {
    page.panelled = now;
    drawPanels(tables);
  }
}

/** The range of the values of all actions; the lowest tenth (falls off a cliff, say) does not count. */
function rangeOfActions(world, tables, n) {
  const all = tables.flatMap(({ table }) => Array.from(table).filter((_, at) => world.hasValue[Math.floor(at / n) % world.nCells])).sort((a, b) => a - b);
  return [all[Math.floor(all.length * 0.1)] ?? 0, all.at(-1) ?? 0];
}

function drawStats(range, show) {
  page.boards.forEach(({ stat, isExact }, i) => {
    if (isExact) return drawScale(stat, range, show);
    const agent = page.frame?.agents[i];
    if (!agent) return;
    const error = agent.error === null ? "" : `, error ${short(agent.error)}`;
    stat.title = "root mean square of max Q − v* over the states";
    stat.textContent = `${count(agent.steps)} steps, ${count(agent.episodes)} episodes${error}`;
    Object.assign(stat.dataset, { steps: agent.steps, episodes: agent.episodes, state: agent.state });
  });
}

function drawScale(stat, [low, high], show) {
  if (page.noSolution) return void (stat.textContent = page.noSolution);
  if (!stat.querySelector("canvas")) stat.replaceChildren(element("span"), " ", element("canvas", { "aria-hidden": "true" }), " ", element("span"));
  const [from, to] = stat.querySelectorAll("span"), canvas = stat.querySelector("canvas");
  [from.textContent, to.textContent] = show === "visits" ? ["never", "most visits"] : [short(low), short(high)];
  canvas.style.cssText = "display: inline-block; width: 120px; height: 12px; vertical-align: middle";
  const ctx = contextOf(canvas, 120, 12);
  for (let x = 0; x < 120; x += 2) {
    ctx.fillStyle = color(x / 120);
    ctx.fillRect(x, 0, 2, 12);
  }
}

function drawSeries(frame) {
  const series = page.agents.map((_, i) => {
    const flat = frame[`curve${i}`] ?? [];
    const points = Array.from({ length: flat.length / 2 }, (_, k) => [flat[2 * k], flat[2 * k + 1]]);
    return { name: page.names[i], points, color: themed(i ? "--second" : "--first"), marker: i ? "square" : "circle" };
  });
  drawCurves(get("curve"), series, page.optimum, get("log").checked);
  const bin = Math.max(...frame.agents.map((agent) => agent.bin));
  const shaped = page.agents.some(({ shaping }) => shaping && shaping !== "none") ? " of the raw reward" : "";
  get("curve-text").textContent = `Sum of rewards${shaped} while exploring, ${bin > 1 ? `means of ${count(bin)} episodes` : "each episode"}${page.optimum === null ? "" : "; dashed: the best expected"}.`;
}

function drawPanels(tables) {
  const { world, frame } = page;
  if (frame?.agents.some((agent) => agent.step)) {
    get("steps").replaceChildren(...frame.agents.map((agent, i) => (agent.step ? updatePanel(world, page.names[i], agent.step, i ? "second" : "first") : "")));
  } else if (get("steps").querySelector(".update") && page.running) {
    get("steps").replaceChildren(element("p", { class: "small" }, "Too fast to be spelled out: press Step, or run at a speed of at most 30 a second."));
  }
  if (!page.cursor) return;
  const [row, column] = page.cursor, cell = row * world.width + column, letter = world.letters[cell];
  const what = [world.jumpNames[letter] ? `jumps (${world.jumpNames[letter]})` : KINDS[letter] ?? `one way ${letter}`];
  if (world.wind[cell]) what.push(`wind ${world.wind[cell] > 0 ? "up" : "down"} ${Math.abs(world.wind[cell])}`);
  if (world.rewards[cell] !== null) what.push(`reward ${short(world.rewards[cell])}`);
  const listed = tables.map((known, i) => known && { name: page.names[i] ?? "exact", table: known.table, visits: frame?.[`visits${i}`] }).filter(Boolean);
  const layer = (frame?.agents[0]?.state ?? 0) >= world.nCells ? 1 : 0;
  get("cell").replaceChildren(...cellPanel(world, cell, layer, what.join(", "), listed));
}
