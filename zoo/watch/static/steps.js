// The panels of text: one update spelled out, and what is known of a cell.

import { long } from "./colors.js";

const NAMES = ["up", "right", "down", "left", "up-right", "down-right", "down-left", "up-left"];
const SIGNS = ["↑", "→", "↓", "←", "↗", "↘", "↙", "↖"];

/** The name of an action, with its arrow. */
export const actionName = (moves, a) => (moves[a][0] || moves[a][1] ? `${SIGNS[a]} ${NAMES[a]}` : "· stay");

/** The name of a state: its cell, counted from 0, and whether the key is held. */
export function stateName(world, s) {
  const cell = s % world.nCells;
  return `(${Math.floor(cell / world.width)}, ${cell % world.width})${s >= world.nCells ? " with key" : ""}`;
}

/** An element with text or children. */
export function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function sars(world, step) {
  const parts = [["S", stateName(world, step.state)], ["A", actionName(world.moves, step.action)], ["R", long(step.reward)],
    ["S′", stateName(world, step.next_state) + (step.terminated ? ", terminal" : step.truncated ? ", time is up" : "")]];
  return element("p", { class: "sars" }, ...parts.map(([name, text]) => element("span", { "data-part": name }, element("b", {}, name), text)));
}

function updateTable(update) {
  const rows = update.lines.map(([name, symbols, numbers, result]) =>
    element("tr", {}, element("th", {}, name),
      element("td", {}, element("div", {}, symbols), element("div", { class: "numbers" }, "= ", numbers, " ", element("span", { class: "equals" }, `= ${result}`)))));
  return element("table", { class: "formula", "data-value": update.value, "data-target": update.target, "data-error": update.error, "data-new": update.new_value }, ...rows);
}

/** One agent's update. */
export function updatePanel(world, name, step, className) {
  const panel = element("div", { class: "update" }, element("h3", { class: className }, name), sars(world, step));
  if (step.reward_terms) {
    const terms = Object.entries(step.reward_terms).map(([term, value]) => `${long(value)} (${term.replaceAll("_", " ")})`);
    panel.append(element("p", { class: "small" }, `R = ${terms.join(" + ")}`));
  }
  step.updates.forEach((update) => {
    if (step.updates.length > 1 || update.state !== step.state || update.action !== step.action) {
      panel.append(element("p", { class: "small" }, `for S = ${stateName(world, update.state)}, A = ${actionName(world.moves, update.action)}`));
    }
    panel.append(updateTable(update));
  });
  if (step.n_updates > step.updates.length) panel.append(element("p", { class: "small" }, `and ${step.n_updates - step.updates.length} more`));
  if (step.note) panel.append(element("p", { class: "small" }, step.note));
  return panel;
}

/** The values of all actions in a cell, for each table: {name, table, visits}. */
export function cellPanel(world, cell, layer, kind, tables) {
  const state = cell + layer * world.nCells, n = world.moves.length;
  const heading = element("p", { class: "small" }, `${stateName(world, state)}, ${kind}`);
  if (!world.hasValue[cell] || !tables.length) return [heading];
  const head = element("tr", {}, element("th", {}, ""), ...tables.map(({ name }) => element("th", {}, name)));
  const rows = world.moves.map((_, a) => {
    const cells = tables.map(({ table }, i) => {
      const value = table[state * n + a];
      return element("td", { "data-q": `${i},${state},${a}`, "data-value": value }, long(value));
    });
    return element("tr", {}, element("th", {}, actionName(world.moves, a)), ...cells);
  });
  const visits = element("tr", {}, element("th", {}, "visits"), ...tables.map(({ visits: of }) => element("td", {}, of ? of[state].toLocaleString("en-US") : "")));
  return [heading, element("table", {}, head, ...rows, visits)];
}
