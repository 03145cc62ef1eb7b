// The forms: an agent's settings, the world's rules.

import { element } from "./steps.js";
import { RULES } from "./world.js";

export const ALGORITHMS = {
  q_learning: "Q-learning", sarsa: "SARSA", expected_sarsa: "Expected SARSA", double_q_learning: "Double Q-learning",
  monte_carlo: "Monte Carlo control", dyna_q: "Dyna-Q",
};
const SHAPINGS = { none: "none", distance: "distance to the goal", progress: "share of the way", value: "exact values" };
const DEFAULTS = {
  algo: "q_learning", alpha: 0.1, epsilon: 0.1, lambda_: 0, n_steps: 1, planning_steps: 5, kappa: 0, initial_value: 0,
  shaping: "none", scale: 1, seed: 0,
};
const NUMBERS = [ // name, label, title, attributes, algorithms that have it (all if none are named)
  ["alpha", "α", "step size", { min: 0.001, max: 1, step: "any" }],
  ["epsilon", "ε", "share of random actions", { min: 0, max: 1, step: "any" }],
  ["lambda_", "λ", "trace decay", { min: 0, max: 1, step: "any" }, ["q_learning", "sarsa"]],
  ["n_steps", "n", "rewards before it bootstraps", { min: 1, max: 100, step: 1 }, ["sarsa", "expected_sarsa"]],
  ["planning_steps", "planning", "updates from the model after each step", { min: 0, max: 100, step: 1 }, ["dyna_q"]],
  ["kappa", "κ", "Dyna-Q+'s bonus for what was not tried for long", { min: 0, max: 10, step: "any" }, ["dyna_q"]],
  ["initial_value", "first Q", "values before anything is learned", { step: "any" }],
  ["seed", "seed", "of all random numbers", { min: 0, step: 1 }],
];

const options = (names) => Object.entries(names).map(([value, text]) => element("option", { value }, text));

/** The form of one agent in a card; onChange is called when it was changed. */
export class AgentForm {
  constructor(card, index, onChange) {
    Object.assign(this, { card, index, onChange });
    this.heading = element("h2", {}, `Agent ${index + 1}`);
    this.algo = element("select", { id: `algo${index}` }, ...options(ALGORITHMS));
    this.shaping = element("select", { id: `shaping${index}` }, ...options(SHAPINGS));
    this.scale = element("input", { id: `scale${index}`, type: "number", min: 0, step: "any" });
    this.inputs = Object.fromEntries(NUMBERS.map(([name, , , attributes]) => [name, element("input", { id: `${name}${index}`, type: "number", ...attributes })]));
    const fields = NUMBERS.map(([name, text, title]) => element("label", { title }, text, this.inputs[name]));
    this.body = element("div", { class: "fields" }, element("label", { class: "long" }, "algorithm", this.algo), ...fields,
      element("label", { class: "long", title: "potential of a potential-based shaping" }, "shaping", this.shaping),
      element("label", { title: "the potential is multiplied by it" }, "scale", this.scale));
    card.append(this.heading, this.body);
    if (index) {
      this.present = element("input", { type: "checkbox", id: "compare" });
      this.heading.replaceChildren(element("label", {}, this.present, " Agent 2 beside it"));
      this.present.addEventListener("change", () => this.changed());
    }
    card.addEventListener("change", (event) => event.target !== this.present && this.changed());
  }

  changed() {
    this.show();
    const wrong = this.present?.checked !== false && [...this.body.querySelectorAll("input")].find((input) => !input.disabled && !input.checkValidity());
    if (wrong) wrong.reportValidity();
    else this.onChange();
  }

  show() {
    this.body.hidden = this.present ? !this.present.checked : false;
    for (const [name, , , , algorithms] of NUMBERS) {
      const off = Boolean(algorithms) && !algorithms.includes(this.algo.value);
      this.inputs[name].disabled = off;
      this.inputs[name].parentElement.hidden = off;
    }
    this.scale.parentElement.hidden = this.shaping.value === "none";
  }

  /** Fills it with an agent's settings; none empties the second one. */
  fill(agent) {
    if (this.present) this.present.checked = Boolean(agent);
    const settings = { ...DEFAULTS, ...agent };
    for (const name in this.inputs) this.inputs[name].value = settings[name];
    [this.algo.value, this.shaping.value, this.scale.value] = [settings.algo, settings.shaping, settings.scale];
    this.show();
  }

  /** The settings that differ from the defaults and count for this algorithm, or null. */
  read() {
    if (this.present && !this.present.checked) return null;
    const all = { algo: this.algo.value, shaping: this.shaping.value, scale: Number(this.scale.value) };
    for (const name in this.inputs) if (!this.inputs[name].disabled) all[name] = Number(this.inputs[name].value);
    if (all.shaping === "none") delete all.scale;
    return Object.fromEntries(Object.entries(all).filter(([name, value]) => name === "algo" || value !== DEFAULTS[name]));
  }
}

/** What an agent is called: its algorithm with what sets it apart. */
export function agentName(agent) {
  const { algo, lambda_, n_steps, planning_steps, kappa, shaping } = { ...DEFAULTS, ...agent };
  const more = [];
  if (lambda_) more.push(`λ = ${lambda_}`);
  if (n_steps > 1) more.push(`n = ${n_steps}`);
  if (algo === "dyna_q" && !kappa) more.push(`${planning_steps} planned`);
  if (kappa) more.push(`κ = ${kappa}`);
  if (shaping !== "none") more.push("shaped");
  return `${ALGORITHMS[algo]}${kappa ? "+" : ""}${more.length ? ` (${more.join(", ")})` : ""}`;
}

/** α and ε, for captions. */
export const agentDetails = (agent) => `α ${agent.alpha ?? DEFAULTS.alpha}, ε ${agent.epsilon ?? DEFAULTS.epsilon}`;

const RULE_NAMES = {
  step_reward: "a step", goal_reward: "the goal", hole_reward: "hole or cliff", bump_reward: "a bump (empty: as a step)",
  slip: "slips (probability)", king_moves: "king's moves", stay: "may stay", goal_ends: "the goal ends it",
  random_start: "starts anywhere", stochastic_wind: "wind varies",
};

/** The form of the world's rules; onChange is called with (name, value). */
export class RulesForm {
  constructor(box, onChange) {
    this.inputs = {};
    for (const name in RULE_NAMES) {
      const isSwitch = typeof RULES[name] === "boolean";
      const input = element("input", { id: `rule-${name}`, type: isSwitch ? "checkbox" : "number", step: "any", ...(name === "slip" ? { min: 0, max: 1 } : {}) });
      input.addEventListener("change", () => {
        if (!input.checkValidity()) return void input.reportValidity();
        onChange(name, isSwitch ? input.checked : input.value === "" ? RULES[name] : Number(input.value));
      });
      this.inputs[name] = input;
      box.append(element("label", {}, RULE_NAMES[name], input));
    }
    this.limit = element("input", { id: "rule-limit", type: "number", min: 1, max: 5000, step: 1 });
    this.limit.addEventListener("change", () => this.limit.checkValidity() && onChange("max_episode_steps", Number(this.limit.value)));
    box.append(element("label", {}, "steps at most", this.limit));
  }

  fill(world) {
    for (const [name, input] of Object.entries(this.inputs)) {
      const value = world.rules?.[name] ?? RULES[name];
      if (input.type === "checkbox") input.checked = value;
      else input.value = value ?? "";
    }
    this.limit.value = world.max_episode_steps ?? 1000;
  }
}
