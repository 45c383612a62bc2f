// Elements. Whatever is shown goes in as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, props, children) {
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "style") {
      for (const [name, text] of Object.entries(value)) element.style.setProperty(name, text);
    } else if (key === "data") {
      Object.assign(element.dataset, value);
    } else if (key.startsWith("on")) {
      element.addEventListener(key.slice(2), value);
    } else {
      element.setAttribute(key, value === true ? "" : String(value));
    }
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An element of HTML: `h("p", { class: "empty" }, "text", other)`. */
export function h(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** An element of SVG. */
export function s(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

/** A name from outside: on its own as to direction, cut where there is no room, in full on demand. */
export function name(text) {
  return h("bdi", { class: "name", title: text }, text);
}

/** Puts these in the place of all that is in there. */
export function put(parent, ...children) {
  parent.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
}

/** The heads of columns; those of numbers stand above their ends. */
export const heads = (words, numbers) => words.map((word) => h("th", { scope: "col", class: numbers.includes(word) && "number" }, word));
