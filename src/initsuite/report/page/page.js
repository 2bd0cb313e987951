// The page's state: which context is chosen, which initializers are hidden, how charts are shown, light or dark.
"use strict";

const page = {
  data: JSON.parse(document.getElementById("data").textContent),
  dark: matchMedia("screen and (prefers-color-scheme: dark)"),
  hidden: new Set(),
  chosen: null,
  shown: {},
  onChoice: [],
  onHidden: [],
  onShown: [],

  /** An element with attributes and children; strings become text, never markup. */
  make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "class") element.className = value;
      else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null));
    return element;
  },

  /** Paper is white, whatever the screen is. */
  isDark() {
    return page.dark.matches && !("printing" in document.documentElement.dataset);
  },

  /** The colour of an initializer in the current mode. */
  colour(name) {
    const found = page.data.palette[name];
    return found ? (page.isDark() ? found.dark : found.light) : page.variable("--soft");
  },

  variable(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  },

  /** The name of an initializer with its colour and line style. */
  init(name) {
    const found = page.data.palette[name];
    const style = { "-": "solid", "--": "dashed", "-.": "dashdot", ":": "dotted" };
    const made = page.make("span", { class: "init" });
    if (found) {
      made.style.setProperty("--light", found.light);
      made.style.setProperty("--dark", found.dark);
      made.append(page.make("i", { class: `swatch ${style[found.style]}`, "aria-hidden": "true" }));
    }
    made.append(name);
    return made;
  },

  choose(key) {
    const found = page.data.contexts.find((context) => context.key === key);
    if (!found || found === page.chosen) return;
    page.chosen = found;
    for (const card of document.querySelectorAll("#cards .card")) card.hidden = card.dataset.key !== key;
    for (const select of document.querySelectorAll("select[data-facet]")) {
      select.value = found.facets[select.dataset.facet];
    }
    for (const button of document.querySelectorAll(".grid button")) {
      button.setAttribute("aria-current", String(button.dataset.key === key));
    }
    const closely = document.getElementById("closely");
    if (closely) closely.value = key;
    for (const listener of page.onChoice) listener(found);
  },

  /** Choose a context, and say so in the address. */
  pick(key) {
    page.choose(key);
    address.write({ context: page.chosen.name });
  },

  /** Show charts in another way, such as on another scale; null for the usual one. */
  show(name, value) {
    if (value === null) delete page.shown[name];
    else page.shown[name] = value;
    address.write({ [name]: value });
    for (const listener of page.onShown) listener();
  },

  /** Hide these initializers in every chart, and show all others. */
  hide(names) {
    page.hidden = new Set(names);
    for (const listener of page.onHidden) listener();
  },

  toggle(name) {
    const hidden = new Set(page.hidden);
    if (!hidden.delete(name)) hidden.add(name);
    page.pickHidden(hidden);
  },

  /** Hide these, and say so in the address. */
  pickHidden(names) {
    page.hide(names);
    address.write({ hide: [...page.hidden] });
  },
};

/** The context that agrees best with the chosen facets; the facet just changed counts most. */
function nearest(facets, changed) {
  const agreement = (context) =>
    Object.entries(facets).reduce(
      (sum, [name, value]) => sum + (context.facets[name] === value ? (name === changed ? 100 : 1) : 0), 0);
  return page.data.contexts.reduce((best, context) => (agreement(context) > agreement(best) ? context : best));
}

function startPicker() {
  const selects = [...document.querySelectorAll("select[data-facet]")];
  for (const select of selects) {
    select.addEventListener("change", () => {
      const facets = { ...page.chosen.facets };
      for (const other of selects) facets[other.dataset.facet] = other.value;
      page.pick(nearest(facets, select.dataset.facet).key);
    });
  }
  for (const button of document.querySelectorAll(".grid button")) {
    button.addEventListener("click", () => {
      page.pick(button.dataset.key);
      address.go("answer");
    });
  }
  document.getElementById("closely")?.addEventListener("change", (event) => page.pick(event.target.value));
  document.querySelector("form.picker")?.addEventListener("submit", (event) => event.preventDefault());
}

function startChips() {
  const group = document.querySelector(".chips");
  const draw = () => {
    const focused = group.contains(document.activeElement) ? document.activeElement.dataset.init : null;
    group.replaceChildren(
      ...Object.keys(page.data.palette).map((name) => {
        const pressed = String(!page.hidden.has(name));
        const click = () => page.toggle(name);
        const attributes = { type: "button", "data-init": name, "aria-pressed": pressed, onclick: click };
        return page.make("button", attributes, page.init(name));
      }));
    if (focused !== null) [...group.children].find((chip) => chip.dataset.init === focused)?.focus();
  };
  page.onHidden.push(draw);
  draw();
}

function startCopying() {
  for (const button of document.querySelectorAll(".copy")) {
    button.addEventListener("click", async () => {
      const text = button.previousElementSibling.textContent;
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(button.previousElementSibling);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }
}

document.addEventListener("DOMContentLoaded", () => {
  startPicker();
  startChips();
  startCopying();
  startCharts();
  startTables();
  startAddress();
  address.apply();
});
