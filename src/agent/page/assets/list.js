// A list of which only the rows in sight exist.

import { h } from "./dom.js";

/** Rows beyond either edge that exist too. */
const BEYOND = 6;

export class List {
  /** `render(item)` makes a row's content; `open(item)` is called by Enter or a click; `id(item)` tells items apart, `same` their looks. */
  constructor({ label, height, id, render, open }) {
    Object.assign(this, { height, id, render, open, items: [], rows: new Map(), at: -1, chosen: null, frame: 0 });
    this.space = h("div", { class: "list-space", role: "presentation" });
    this.element = h(
      "div",
      { class: "list", role: "listbox", tabindex: 0, "aria-label": label, onscroll: () => this.later(), onkeydown: (event) => this.key(event) },
      this.space,
    );
    new ResizeObserver(() => this.later()).observe(this.element);
  }

  /** Shows these. Who has scrolled stays with what is in sight. */
  show(items, chosen) {
    const top = this.element.scrollTop;
    const first = this.items[Math.floor(top / this.height)];
    const active = this.items[this.at];
    this.items = items;
    this.chosen = chosen;
    this.places = new Map(items.map((item, place) => [this.id(item), place]));
    this.space.style.height = `${items.length * this.height}px`;
    const place = first && top > 0 ? this.places.get(this.id(first)) : undefined;
    if (place !== undefined) this.element.scrollTop = place * this.height + (top % this.height);
    this.at = (active && this.places.get(this.id(active))) ?? -1;
    this.draw();
  }

  later() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  draw() {
    const { scrollTop, clientHeight } = this.element;
    const from = Math.max(0, Math.floor(scrollTop / this.height) - BEYOND);
    const to = Math.min(this.items.length, Math.ceil((scrollTop + clientHeight) / this.height) + BEYOND);
    const wanted = new Set();
    for (let place = from; place < to; place += 1) {
      const item = this.items[place];
      const id = this.id(item);
      wanted.add(id);
      let row = this.rows.get(id);
      if (row?.item !== item) {
        row?.element.remove();
        row = { item, element: h("div", { class: "list-row", role: "option", id: `row-${id}` }, this.render(item)) };
        row.element.addEventListener("click", () => {
          this.at = this.places.get(id) ?? -1;
          this.open(item);
        });
        this.rows.set(id, row);
        this.space.append(row.element);
      }
      const { element } = row;
      element.style.transform = `translateY(${place * this.height}px)`;
      element.setAttribute("aria-setsize", this.items.length);
      element.setAttribute("aria-posinset", place + 1);
      element.setAttribute("aria-selected", String(id === this.chosen));
      element.classList.toggle("active", place === this.at);
    }
    for (const [id, row] of this.rows) {
      if (!wanted.has(id)) {
        row.element.remove();
        this.rows.delete(id);
      }
    }
    const active = this.items[this.at];
    if (active && this.rows.has(this.id(active))) this.element.setAttribute("aria-activedescendant", `row-${this.id(active)}`);
    else this.element.removeAttribute("aria-activedescendant");
  }

  /** Goes to a place, and brings it into sight. */
  go(place) {
    if (this.items.length === 0) return;
    this.at = Math.max(0, Math.min(this.items.length - 1, place));
    const top = this.at * this.height;
    const { scrollTop, clientHeight } = this.element;
    if (top < scrollTop) this.element.scrollTop = top;
    else if (top + this.height > scrollTop + clientHeight) this.element.scrollTop = top + this.height - clientHeight;
    this.draw();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.element.clientHeight / this.height) - 1);
    const places = { ArrowDown: this.at + 1, j: this.at + 1, ArrowUp: this.at - 1, k: this.at - 1, PageDown: this.at + page, PageUp: this.at - page, Home: 0, End: this.items.length - 1 };
    if (event.key in places) this.go(places[event.key]);
    else if (event.key === "Enter" && this.items[this.at]) this.open(this.items[this.at]);
    else return;
    event.preventDefault();
  }
}
