// The tools to draw a world with.

import { contextOf, themed } from "./colors.js";
import { element } from "./steps.js";
import { drawSymbol, label } from "./symbols.js";

const TOOLS = [ // name, text, value
  ["look", "Look"], ["#", "Wall"], [".", "Floor"], ["S", "Start"], ["G", "Goal"], ["H", "Hole"], ["C", "Cliff"],
  ["wind", "Wind up", 1], ["wind", "Wind ×2", 2], ["wind", "Wind down", -1], ["reward", "Reward"], ["K", "Key"],
  ["D", "Door"], ["^", "One way"], [">", "One way"], ["v", "One way"], ["<", "One way"],
];
let chosen = 0, whenChosen = () => {};

/** The name of the tool in use: "look", a letter of the map, "wind" or "reward". */
export const tool = () => TOOLS[chosen][0];

/** What it puts: the strength of the wind, the reward. */
export function toolValue(name = tool()) {
  if (name === "reward") return Number(document.getElementById("cell-reward").value) || 0;
  return name === TOOLS[chosen][0] ? TOOLS[chosen][2] : 1;
}

function choose(index) {
  chosen = index;
  [...document.querySelectorAll("#tools button")].forEach((button, i) => {
    button.setAttribute("aria-checked", i === index);
    button.tabIndex = i === index ? 0 : -1;
  });
  whenChosen();
}

function moveFocus(event) {
  const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!by) return;
  choose((chosen + by + TOOLS.length) % TOOLS.length);
  document.querySelectorAll("#tools button")[chosen].focus();
  event.preventDefault();
}

/** Makes the buttons, or draws their symbols anew. */
export function drawTools(listener) {
  const box = document.getElementById("tools");
  if (listener) whenChosen = listener;
  if (!box.childElementCount) {
    TOOLS.forEach(([name, text, value], i) => {
      const button = element("button", { type: "button", role: "radio", "data-tool": name === "wind" ? `wind${value}` : name }, element("canvas", { "aria-hidden": "true" }), text);
      button.addEventListener("click", () => choose(i));
      box.append(button);
    });
    box.addEventListener("keydown", moveFocus);
    choose(0);
  }
  const side = 1.8 * parseFloat(getComputedStyle(document.documentElement).fontSize);
  TOOLS.forEach(([name, , value], i) => {
    const ctx = contextOf(box.children[i].querySelector("canvas"), side, side);
    ctx.scale(side, side);
    ctx.fillStyle = name === "look" ? themed("--card") : themed("--floor");
    ctx.fillRect(0, 0, 1, 1);
    if (name === "look") label(ctx, "☞", 0.5, 0.5, 0.8, themed("--ink"), null);
    else if (name === "reward") label(ctx, "±", 0.5, 0.5, 0.75, themed("--ink"), null);
    else drawSymbol(ctx, name, value);
  });
}
