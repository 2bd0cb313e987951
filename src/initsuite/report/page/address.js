// The address: what is chosen on the page stands after its "#", so that a link shows the same to somebody else.
"use strict";

const HELD_MS = 10000;

const address = {
  /** What the address says, by name; a plain "#rules" is a section. */
  read() {
    const text = location.hash.slice(1);
    return new URLSearchParams(text.includes("=") ? text : text && `at=${text}`);
  },

  /** This address with changes: a value, several of them, or null for none. */
  of(changes) {
    const found = address.read();
    for (const [name, value] of Object.entries(changes)) {
      found.delete(name);
      for (const one of [value].flat()) if (one !== null) found.append(name, one);
    }
    return `#${found.toString().replaceAll("%2F", "/")}`;
  },

  /** Change the address, as a step that "back" undoes where `step` says so. */
  write(changes, step = false) {
    history[step ? "pushState" : "replaceState"](null, "", address.of(changes));
  },

  /** Show what the address says; what it leaves out is shown as on a fresh page. */
  apply() {
    const said = address.read();
    page.shown = Object.fromEntries(said);
    page.hide(said.getAll("hide").filter((name) => name in page.data.palette));
    const named = page.data.contexts.find((context) => context.name === said.get("context"));
    page.choose(named ? named.key : page.data.first);
    for (const listener of page.onShown) listener();
    if (said.get("at")) address.go(said.get("at"));
  },

  /** A link to this page with changes; the rest of the address is what it is when the link is followed. */
  link(changes, text) {
    const follow = (event) => {
      if (event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      address.write(changes, true);
      address.apply();
    };
    return page.make("a", { href: address.of(changes), onclick: follow }, text);
  },

  /** Scroll to a section and read on from there with the keyboard. */
  go(name) {
    const section = document.getElementById(name);
    if (!section) return;
    if (!section.hasAttribute("tabindex")) section.setAttribute("tabindex", "-1");
    section.focus({ preventScroll: true });
    address.hold(section);
  },

  /** Keep a section in place while the charts around it are drawn and change their height, until the reader moves. */
  hold(section) {
    address.release();
    const align = () => section.scrollIntoView({ behavior: "instant" });
    const observer = new ResizeObserver(align);
    align();
    observer.observe(document.querySelector("main"));
    const timer = setTimeout(() => address.release(), HELD_MS);
    address.release = () => {
      observer.disconnect();
      clearTimeout(timer);
    };
  },

  release() {},
};

/** A link to a section keeps what else the address says. */
function startAddress() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href^='#']");
    if (!link || link.getAttribute("href").includes("=") || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const name = link.getAttribute("href").slice(1);
    address.write({ at: name }, true);
    address.go(name);
  });
  addEventListener("hashchange", () => address.apply());
  for (const moved of ["wheel", "touchmove", "keydown", "pointerdown"]) {
    addEventListener(moved, () => address.release(), { passive: true });
  }
}
