// Tables: sorted by a click on a heading, filtered by words and choices, shown one page at a time, saved as CSV.
"use strict";

const FEW_ROWS = 8;

/** What a cell shows, and what it sorts by: a cell is a value, or [value, text, detail, where it leads]. */
const shown = (cell) =>
  Array.isArray(cell) ? cell.slice(1, 3).filter(Boolean).join(" ") : cell === null ? "" : String(cell);
/** What a filter calls it: without the detail. */
const named = (cell) => (Array.isArray(cell) ? cell[1] : shown(cell));
const sorted = (cell) => (Array.isArray(cell) ? cell[0] : cell);

/** Missing values last in either direction; numbers as numbers, grades by how sure they are. */
function compare(first, second, kind, way) {
  const [a, b] = [sorted(first), sorted(second)];
  const [lacksFirst, lacksSecond] = [a, b].map((value) => value === null || value === "");
  if (lacksFirst || lacksSecond) return lacksFirst - lacksSecond;
  if (typeof a === "number" && typeof b === "number") return way * (a - b);
  if (kind === "grade") {
    const order = Object.keys(page.data.dots);
    return way * (order.indexOf(a) - order.indexOf(b));
  }
  return way * String(a).localeCompare(String(b), undefined, { numeric: true });
}

class DataTable {
  constructor(root, table) {
    this.root = root;
    this.size = Number(root.dataset.rows || 50);
    this.choices = new Map();
    this.show(table);
  }

  /** Show another table in the same place. */
  show(table) {
    this.table = table;
    this.sort = null;
    this.place = 0;
    this.choices.clear();
    this.words = "";
    if (!table.rows.length) {
      this.root.replaceChildren(page.make("p", { class: "empty" }, table.empty));
      return;
    }
    this.texts = table.rows.map((row) => row.map(shown).join(" ").toLowerCase());
    this.body = page.make("tbody");
    this.pager = page.make("div", { class: "pager" });
    this.heads = table.columns.map((column, place) => {
      const button = page.make("button", { type: "button", onclick: () => this.sortBy(place) }, column.title);
      return column.hidden ? null : page.make("th", { scope: "col" }, button);
    });
    const { label } = this.root.dataset;
    const head = page.make("thead", {}, page.make("tr", {}, ...this.heads));
    const inner = page.make("table", { class: this.root.dataset.class || "" }, head, this.body);
    const scroll = page.make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, inner);
    this.root.replaceChildren(this.tools(), scroll, this.pager, ...this.same());
    this.draw();
  }

  /** What holds in every row stands below the table, not in columns. */
  same() {
    const facts = (this.table.same || []).map(([title, text]) => `${title}: ${text}`);
    return facts.length ? [page.make("p", { class: "soft" }, `The same in every row: ${facts.join("; ")}.`)] : [];
  }

  /** The rows as they stand, filtered and sorted, with all their columns. */
  save() {
    const same = this.table.same || [];
    const titles = [...this.table.columns, ...same.map(([title]) => ({ title }))].map(({ title }) => title);
    const rows = this.rows().map((row) => [...row.map(shown), ...same.map(([, text]) => text)]);
    const where = !(this.root.dataset.table in page.data.tables) ? page.chosen.name : "";
    saving.table([titles, ...rows], saving.name(this.root.dataset.table, where));
  }

  tools() {
    const { label } = this.root.dataset;
    const save = page.make("button", { type: "button", class: "save", onclick: () => this.save() }, "CSV");
    save.setAttribute("aria-label", `Save “${label}” as CSV`);
    const filters = this.table.rows.length > FEW_ROWS ? this.filters() : [];
    return page.make("div", { class: "tools" }, ...filters, save);
  }

  filters() {
    let timer = 0;
    const search = page.make("input", {
      type: "search",
      oninput: (event) => {
        clearTimeout(timer);
        timer = setTimeout(() => {
          this.words = event.target.value.toLowerCase();
          this.place = 0;
          this.draw();
        }, 120);
      },
    });
    const tools = [page.make("label", {}, "filter", search)];
    this.table.columns.forEach((column, place) => {
      if (!column.filter) return;
      const values = [...new Set(this.table.rows.map((row) => named(row[place])))];
      if (values.length < 2) return;
      values.sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
      const select = page.make("select", {
        onchange: (event) => {
          if (event.target.selectedIndex) this.choices.set(place, values[event.target.selectedIndex - 1]);
          else this.choices.delete(place);
          this.place = 0;
          this.draw();
        },
      });
      const options = values.map((value) => page.make("option", {}, value || "(none)"));
      select.append(page.make("option", {}, "all"), ...options);
      tools.push(page.make("label", {}, column.title, select));
    });
    return tools;
  }

  /** Ascending, then descending, then the original order. */
  sortBy(place) {
    if (this.sort?.place !== place) this.sort = { place, way: 1 };
    else this.sort = this.sort.way === 1 ? { place, way: -1 } : null;
    this.place = 0;
    this.draw();
  }

  rows() {
    const words = this.words.split(/\s+/).filter(Boolean);
    const kept = this.table.rows.filter((row, number) =>
      words.every((word) => this.texts[number].includes(word)) &&
      [...this.choices].every(([place, value]) => named(row[place]) === value));
    if (this.sort) {
      const { place, way } = this.sort;
      const { kind } = this.table.columns[place];
      kept.sort((first, second) => compare(first[place], second[place], kind, way));
    }
    return kept;
  }

  draw() {
    this.heads.forEach((head, place) => {
      if (!head) return;
      if (this.sort?.place === place) head.setAttribute("aria-sort", this.sort.way === 1 ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    const rows = this.rows();
    const shownRows = rows.slice(this.place, this.place + this.size);
    this.body.replaceChildren(...shownRows.map((row) =>
      page.make("tr", {}, ...row.map((cell, place) => this.cell(cell, this.table.columns[place])))));
    this.drawPager(rows.length);
  }

  cell(cell, { kind, hidden }) {
    if (hidden) return null;
    const [text, detail, link] = Array.isArray(cell) ? cell.slice(1) : [shown(cell)];
    const content = this.content(text, kind, link);
    const isShort = kind === "number" || kind === "init" || kind === "grade" || text.length < 32;
    const below = detail ? [page.make("small", {}, detail)] : [];
    return page.make("td", { class: kind === "context" ? "context" : isShort ? "number" : "long" }, content, ...below);
  }

  content(text, kind, link) {
    if (kind === "init" && text) return page.init(text);
    if (kind === "grade") {
      const dots = page.make("span", { "aria-hidden": "true" }, page.data.dots[text] || "");
      return page.make("span", { class: text }, dots, " ", text);
    }
    if (kind === "context") {
      const at = document.querySelector("[data-table=arms]").closest("section").id;
      return address.link({ context: link, at }, text);
    }
    const isWeb = link && /^https?:\/\//.test(link);
    return isWeb ? page.make("a", { href: link, target: "_blank", rel: "noopener noreferrer" }, text) : text;
  }

  drawPager(total) {
    const all = this.table.rows.length;
    const of = total === all ? `${all}` : `${total} of ${all}`;
    const button = (text, place, able) => {
      const click = () => {
        this.place = place;
        this.draw();
      };
      return page.make("button", { type: "button", disabled: able ? null : "", onclick: click }, text);
    };
    const last = Math.min(this.place + this.size, total);
    const parts = [];
    if (total > this.size) {
      parts.push(button("Previous", Math.max(0, this.place - this.size), this.place > 0));
      parts.push(button("Next", this.place + this.size, last < total));
      parts.push(page.make("span", { role: "status" }, `Rows ${this.place + 1} to ${last} of ${of}`));
    } else if (all > FEW_ROWS) {
      parts.push(page.make("span", { role: "status" }, total ? `Rows: ${of}` : `No row of ${all} fits the filters.`));
    }
    this.pager.replaceChildren(...parts);
  }
}

function startTables() {
  for (const root of document.querySelectorAll("[data-table]")) {
    const name = root.dataset.table;
    if (name in page.data.tables) {
      new DataTable(root, page.data.tables[name]);
      continue;
    }
    const ofContext = new DataTable(root, page.data.contexts[0][name]);
    page.onChoice.push((context) => ofContext.show(context[name]));
  }
}
